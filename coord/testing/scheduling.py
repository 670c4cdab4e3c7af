"""Trio's scheduler, made to follow a seed, and made to pass over the tasks of a frozen server.

Trio shuffles the tasks that are ready in one turn with a generator of its own, in an order that is reproducible only
on request. Neither that request nor the queue of ready tasks has a public name; this module and clock.py are
the only ones that know them (they have been the same since Trio 0.17, and tests/testing fails should they change).
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar, TypeVarTuple, Unpack

import trio
from trio._core import _run as trio_run

from coord.testing.clock import VirtualClock

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


def run(main: Callable[[Unpack[Ts]], Awaitable[T]], *args: *Ts, seed: int = 1) -> T:
    """`trio.run` on a virtual clock that jumps when everyone waits, with a scheduler that follows the seed."""
    with deterministic_scheduling(seed):
        return trio.run(main, *args, clock=VirtualClock())


@contextmanager
def deterministic_scheduling(seed: int) -> Iterator[None]:
    """Inside, who of several ready tasks goes first depends on the seed alone."""
    before, state = trio_run._ALLOW_DETERMINISTIC_SCHEDULING, trio_run._r.getstate()
    _allow(True)
    trio_run._r.seed(seed)
    try:
        yield
    finally:
        _allow(before)
        trio_run._r.setstate(state)


def _allow(deterministic: bool) -> None:
    setattr(trio_run, "_ALLOW_DETERMINISTIC_SCHEDULING", deterministic)  # noqa: B010  declared as a constant there


class Freezer(trio.abc.Instrument):
    """Holds back tasks as SIGSTOP holds back a process: they stay where they are, and time goes on without them.

    A task of a frozen tree that becomes ready is taken out of Trio's queue, and put back when the tree is thawed: by
    then deadlines have passed and data has arrived, and it learns all of it at once.
    """

    def __init__(self) -> None:
        self._held: dict[trio.lowlevel.Task, list[trio.lowlevel.Task]] = {}  # by the tree's root

    def freeze(self, root: trio.lowlevel.Task) -> None:
        """Hold back this task and all below it, from the end of the turn on. Does nothing if they are frozen."""
        if root in self._held:
            return
        if not self._held:
            trio.lowlevel.add_instrument(self)
        held = self._held[root] = []
        ready = trio_run.GLOBAL_RUN_CONTEXT.runner.runq
        for task in [task for task in ready if _is_below(task, root)]:
            ready.remove(task)
            held.append(task)

    def thaw(self, root: trio.lowlevel.Task) -> None:
        """Let them go on. Does nothing if they are not frozen."""
        held = self._held.pop(root, None)
        if held is None:
            return
        trio_run.GLOBAL_RUN_CONTEXT.runner.runq.extend(held)
        if not self._held:
            trio.lowlevel.remove_instrument(self)

    def is_frozen(self, root: trio.lowlevel.Task) -> bool:
        return root in self._held

    def task_scheduled(self, task: trio.lowlevel.Task) -> None:
        for root, held in self._held.items():
            if _is_below(task, root):
                taken = trio_run.GLOBAL_RUN_CONTEXT.runner.runq.pop()
                assert taken is task, "Trio told of another task than the one it has just queued"
                held.append(task)
                return


def _is_below(task: trio.lowlevel.Task, root: trio.lowlevel.Task) -> bool:
    """Whether the task is the root, or was started in a nursery that belongs to it."""
    each: trio.lowlevel.Task | None = task
    while each is not None:
        if each is root:
            return True
        each = each.parent_nursery.parent_task if each.parent_nursery is not None else None
    return False
