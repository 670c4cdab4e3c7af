"""The search over a whole history, and of what fails the smallest window that still does.

A failing part is made smaller in three steps, none of which can make a right history wrong:
- what came before a moment at which nothing was under way is replaced by the states it can have left;
- what came after the first return at which no order is left is cut off;
- an operation is set free if the rest fails whether it happened or not, and whenever. Of the free ones only those are
  shown that explain a reply.
"""

from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from coord.model.message import message
from tools.check.history import Operation, brief
from tools.check.linearizability import Budget, Model, Searched, Verdict, search
from tools.check.models import RegisterModel, TreeModel
from tools.check.partition import Part, parts_of
from tools.check.verdicts import SEARCH, Findings, Violation

STATES_MAX = 16
"""So many states are carried over a quiet moment; with more the window begins before it."""
FREE_MAX = 10
"""Each free operation can double the search."""
SHRINK_STEPS = 200_000
"""Of the model, for one try of making a window smaller: what takes longer stays as it is."""

S = TypeVar("S", bound=Hashable)


@message
class Window:
    """Operations no order of which explains their replies; `order` gets furthest, and `stuck` cannot be put behind it.

    `freed` operations are left out of the window: it fails with and without them.
    """

    operations: tuple[Operation, ...]
    order: tuple[Operation, ...]
    stuck: Operation | None
    starts: tuple[str, ...]  # the states it can begin in, in words
    freed: int


def check_linearizable(operations: Sequence[Operation], budget: Budget | None = None) -> tuple[Findings, list[Window]]:
    """Writes and linearizable reads have an order, whatever their zxids say. One window a part that has none."""
    findings, windows = Findings(), []
    budget = Budget() if budget is None else budget
    for part in parts_of(operations):
        named = ", ".join(part.paths[:3]) + (f" and {len(part.paths) - 3} more" if len(part.paths) > 3 else "")
        if part.unknown_kinds:
            findings.notes.append(f"containers and TTL znodes vanish by themselves, so {named} was not searched")
            continue
        model = model_of(part)
        result = search(model, part.operations, budget)
        if result.verdict is Verdict.UNDECIDED:
            findings.undecided.append(
                f"the search over the {len(part.operations)} operations on {named} was given up: it reached "
                f"{len(result.order)} of them; give it more steps, or fewer unknown outcomes"
            )
        elif result.verdict is Verdict.IMPOSSIBLE:
            window = smallest_window(model, part.operations)
            windows.append(window)
            findings.violations.append(_violation(window, named))
    return findings, windows


def model_of(part: Part) -> Model[Any]:
    return RegisterModel() if part.simple else TreeModel(part.given)


def _violation(window: Window, named: str) -> Violation:
    stuck = window.stuck
    if stuck is None:
        what = "no order of them"
    else:
        reply = brief(stuck.reply) if stuck.reply is not None else "no reply"
        what = f"no order explains that {stuck} was answered with {reply}; no order of them"
    return Violation(
        SEARCH,
        f"On {named} {what} agrees with the clock and the replies.",
        tuple(operation.number for operation in window.operations),
    )


def smallest_window(model: Model[S], operations: Sequence[Operation], steps: int = SHRINK_STEPS) -> Window:
    """Of operations that cannot be ordered, the few that show it."""
    starts, left = _after_quiet(model, operations, steps)
    left = _shortest_prefix(model, left, starts, steps)
    essential, free = _essential(model, left, starts, steps)
    explaining = {each.number for each in _explaining(model, essential, free, starts, steps)}
    numbers = {each.number for each in essential} | explaining
    shown = [each for each in left if each.number in numbers]
    hidden = [each for each in free if each.number not in explaining]
    result = _search_from(model, shown, starts, Budget(steps))
    return Window(tuple(shown), result.order, result.stuck, tuple(map(repr, starts)), len(hidden))


def _fails(model: Model[S], operations: Sequence[Operation], starts: Sequence[S], steps: int) -> bool:
    return _search_from(model, operations, starts, Budget(steps)).verdict is Verdict.IMPOSSIBLE


def _search_from(model: Model[S], operations: Sequence[Operation], starts: Sequence[S], budget: Budget) -> Searched:
    """The search from each of these states: the first success, or the failure that got furthest."""
    best: Searched | None = None
    for start in starts:
        result = search(model, operations, budget, (start,))
        if result.verdict is not Verdict.IMPOSSIBLE:
            return result
        if best is None or len(result.order) > len(best.order):
            best = result
    assert best is not None, "a search begins in some state"
    return best


def _after_quiet(model: Model[S], operations: Sequence[Operation], steps: int) -> tuple[list[S], list[Operation]]:
    """The failing stretch between quiet moments, and the states in which it can begin; then all after it."""
    starts = [model.initial()]
    rest = sorted(operations, key=lambda each: each.call_ns)
    while True:
        cut = _first_quiet(rest)
        if cut is None:
            return starts, rest
        ends: set[S] = set()
        budget = Budget(steps)
        for start in starts:
            if search(model, rest[:cut], budget, (start,), ends).verdict is Verdict.UNDECIDED:
                return starts, rest
        if not ends:
            return starts, rest[:cut]
        if len(ends) > STATES_MAX:
            return starts, rest
        starts, rest = sorted(ends, key=repr), rest[cut:]


def _first_quiet(operations: Sequence[Operation]) -> int | None:
    """How many operations are over before the next one is called, if there is such a moment."""
    latest = -1
    for index, operation in enumerate(operations):
        if index and operation.call_ns > latest:
            return index
        if operation.return_ns is None:
            return None
        latest = max(latest, operation.return_ns)
    return None


def _shortest_prefix(
    model: Model[S], operations: Sequence[Operation], starts: Sequence[S], steps: int
) -> list[Operation]:
    """What was called by the first return at which no order is left: whatever fails goes on failing."""
    returns = sorted({each.return_ns for each in operations if each.return_ns is not None})
    low, high = 0, len(returns) - 1
    while low < high:
        middle = (low + high) // 2
        if _fails(model, _until(operations, returns[middle]), starts, steps):
            high = middle
        else:
            low = middle + 1
    return _until(operations, returns[high]) if returns else list(operations)


def _until(operations: Sequence[Operation], end_ns: int) -> list[Operation]:
    """As the history stood at `end_ns`: what was under way has no outcome yet, and reads without one say nothing."""
    found = []
    for operation in operations:
        if operation.return_ns is not None and operation.return_ns <= end_ns:
            found.append(operation)
        elif operation.call_ns <= end_ns and operation.is_write:
            found.append(replace(operation, reply=None, return_ns=None))
    return found


def _explaining(
    model: Model[S], essential: Sequence[Operation], free: Sequence[Operation], starts: Sequence[S], steps: int
) -> list[Operation]:
    """The free ones without which an order does not even get as far: somebody has seen what they did."""

    def reach(helpers: Sequence[Operation]) -> int:
        found = _search_from(model, [*essential, *helpers], starts, Budget(steps))
        return sum(each in essential for each in found.order)

    needed = list(free)
    farthest = reach(needed)
    for operation in free:
        without = [each for each in needed if each is not operation]
        if reach(without) >= farthest:
            needed = without
    return needed


def _essential(
    model: Model[S], operations: Sequence[Operation], starts: Sequence[S], steps: int
) -> tuple[list[Operation], list[Operation]]:
    """Those that cannot be set free, and those that are (reads that are free say nothing, and are gone)."""
    left: list[Operation] = list(operations)
    free: list[Operation] = []
    for operation in operations:
        without = [each for each in left if each is not operation]
        freed = [*free, replace(operation, reply=None, return_ns=None, call_ns=-1)] if operation.is_write else free
        if without and len(freed) <= FREE_MAX and _fails(model, [*without, *freed], starts, steps):
            left, free = without, freed
    return left, free
