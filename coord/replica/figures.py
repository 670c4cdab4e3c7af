"""Running figures for the operator: the least, the greatest, the mean and the last of what was noted."""


class Sizes:
    """Of anything that is counted or timed. Nothing has been noted while `count` is 0."""

    __slots__ = ("count", "greatest", "last", "least", "total")

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.count = 0
        self.total = 0.0
        self.least = self.greatest = self.last = 0.0

    def note(self, value: float) -> None:
        self.last = value
        self.least = min(self.least, value) if self.count else value
        self.greatest = max(self.greatest, value)
        self.count += 1
        self.total += value

    def gather(self, count: int, total: float, least: float, greatest: float) -> None:
        """Many at once; which of them was the last is not told."""
        self.least = min(self.least, least) if self.count else least
        self.greatest = max(self.greatest, greatest)
        self.count += count
        self.total += total

    @property
    def mean(self) -> float:
        return self.total / self.count if self.count else 0.0
