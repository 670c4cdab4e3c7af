"""Is there an order of the operations, true to the clock, in which a single copy would have answered so?

A search by Wing and Gong with Lowe's memory, which believes no zxid: so it also checks the witness. The calls and
returns are a list in the order of time; whatever is called before the first return may come first; if the model can
give its reply, both ends are lifted out and the search goes on from the head. At a return that is still there it takes
the last choice back. A set of operations done that leads to a state seen before is not tried twice.

An operation of unknown outcome has no return: it may come at any time after its call, or never.
"""

import time
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol, TypeVar

from coord.model.message import message
from tools.check.history import Operation

STEPS_MAX = 2_000_000
"""Steps of the model before the search is given up: some ten seconds, and the memory of as many states."""

S = TypeVar("S", bound=Hashable)


class Model(Protocol[S]):
    """What is checked against: states are values, equal ones interchangeable."""

    def initial(self) -> S: ...

    def step(self, state: S, operation: Operation) -> tuple[S] | None:
        """The state after `operation`, if its reply can be had in `state`, and else None. No reply: any would do.

        As a tuple of one, so that None may be a state.
        """


class Verdict(Enum):
    LINEARIZABLE = "linearizable"
    IMPOSSIBLE = "not linearizable"
    UNDECIDED = "undecided"


@message
class Searched:
    """`order` is the longest linearization found (all of it if LINEARIZABLE); `stuck` could not be put behind it."""

    verdict: Verdict
    order: tuple[Operation, ...]
    stuck: Operation | None
    steps: int


@dataclass(slots=True)
class Budget:
    """How much searching is allowed, in steps and perhaps in seconds: shared by all searches of one check."""

    steps: int = STEPS_MAX
    seconds: float | None = None
    _ends_s: float = field(init=False)

    def __post_init__(self) -> None:
        self._ends_s = time.monotonic() + self.seconds if self.seconds is not None else float("inf")

    def spend(self) -> bool:
        """Take one step; False if there is none left."""
        self.steps -= 1
        return self.steps >= 0 and (self.steps & 1023 != 0 or time.monotonic() < self._ends_s)


def search(
    model: Model[S],
    operations: Sequence[Operation],
    budget: Budget | None = None,
    start: tuple[S] | None = None,
    ends: set[S] | None = None,
) -> Searched:
    """Look for an order that starts in the state `start` (in a tuple), the model's initial one unless told.

    With `ends` all orders are tried, and every state in which one of them ends is added: with operations of unknown
    outcome only those that were needed are among them.
    """
    budget = Budget() if budget is None else budget
    begun_with = budget.steps
    entries = _entries(operations)
    after, before = _linked(len(entries))
    head = len(entries)  # of the circle; also where the list of what is left ends
    state = model.initial() if start is None else start[0]
    done = 0
    wanted = sum(entry.call is not None for entry in entries)  # returns: unknowns need not be done
    seen: set[tuple[int, S]] = set()
    stack: list[tuple[int, S]] = []
    best: list[int] = []
    stuck: Operation | None = None
    at = after[head]
    while wanted or ends is not None:
        if not wanted and ends is not None:
            ends.add(state)
        entry = entries[at] if at != head else None
        if entry is not None and entry.call is None and wanted:
            if not budget.spend():
                return Searched(Verdict.UNDECIDED, _operations(entries, best), stuck, begun_with - budget.steps)
            stepped = model.step(state, entry.operation)
            if stepped is not None:
                new = stepped[0]
                key = (done | 1 << entry.bit, new)
                if key not in seen:
                    seen.add(key)
                    stack.append((at, state))
                    state, done = new, key[0]
                    wanted -= entry.returns is not None
                    _lift(after, before, at, entry.returns)
                    if len(stack) > len(best):
                        best, stuck = [place for place, _ in stack], None
                    at = after[head]
                    continue
            at = after[at]
            continue
        if entry is not None and stuck is None and len(stack) == len(best):
            stuck = entry.operation
        if not stack:
            if ends:
                return Searched(Verdict.LINEARIZABLE, _operations(entries, best), None, begun_with - budget.steps)
            return Searched(Verdict.IMPOSSIBLE, _operations(entries, best), stuck, begun_with - budget.steps)
        at, state = stack.pop()
        back = entries[at]
        done &= ~(1 << back.bit)
        wanted += back.returns is not None
        _put_back(after, before, at, back.returns)
        at = after[at]
    order = _operations(entries, [place for place, _ in stack])
    return Searched(Verdict.LINEARIZABLE, order, None, begun_with - budget.steps)


@dataclass(slots=True)
class _Entry:
    """A call or a return. A call knows where its return stands, a return where its call does."""

    operation: Operation
    bit: int
    call: int | None = None
    returns: int | None = None


def _entries(operations: Sequence[Operation]) -> list[_Entry]:
    """In the order of time; at the same instant calls stand before returns, since intervals are closed."""
    times: list[tuple[int, bool, int]] = []
    for bit, operation in enumerate(operations):
        times.append((operation.call_ns, False, bit))
        if operation.return_ns is not None:
            times.append((operation.return_ns, True, bit))
    times.sort()
    entries: list[_Entry] = []
    calls: dict[int, int] = {}
    for place, (_, is_return, bit) in enumerate(times):
        entries.append(_Entry(operations[bit], bit))
        if is_return:
            entries[place].call = calls[bit]
            entries[calls[bit]].returns = place
        else:
            calls[bit] = place
    return entries


def _linked(length: int) -> tuple[list[int], list[int]]:
    """A circle of `length` places and the head, which is the last: successor and predecessor of each."""
    size = length + 1
    return [(place + 1) % size for place in range(size)], [(place - 1) % size for place in range(size)]


def _lift(after: list[int], before: list[int], call: int, returns: int | None) -> None:
    for place in (call,) if returns is None else (call, returns):
        after[before[place]], before[after[place]] = after[place], before[place]


def _put_back(after: list[int], before: list[int], call: int, returns: int | None) -> None:
    for place in (call,) if returns is None else (returns, call):
        after[before[place]] = before[after[place]] = place


def _operations(entries: Sequence[_Entry], places: Sequence[int]) -> tuple[Operation, ...]:
    return tuple(entries[place].operation for place in places)
