"""What a checker finds: violations, each one sentence with its operations; and what it could not decide."""

from dataclasses import dataclass, field

from coord.model.message import message

# The checkers, by the names that reports use.
WITNESS, REAL_TIME, SESSION, ONCE, WATCH, SEARCH = "witness", "real-time", "session", "once", "watch", "search"


@message
class Violation:
    """`check` names the checker; `operations` are the numbers of those that contradict a promise."""

    check: str
    sentence: str
    operations: tuple[int, ...] = ()


@dataclass(slots=True)
class Findings:
    """What one or more checkers found. Where both lists are empty the history keeps every promise looked at."""

    violations: list[Violation] = field(default_factory=list)
    undecided: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  # what was left out, and why

    def add(self, other: "Findings") -> None:
        self.violations += other.violations
        self.undecided += other.undecided
        self.notes += other.notes
