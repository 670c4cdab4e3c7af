"""Requests that wait for a state: syncs, for what was committed anywhere before, and others for a zxid they name.

A sync (or a ping) needs a round of the leader's that begins after it has come (a barrier), and before which the leader
hears of its session; the syncs of one turn share one. What
a barrier gives is a zxid, and from then on a sync waits as the others do: until this server has come to it.
"""

from collections.abc import Callable, Iterator
from heapq import heapify, heappop, heappush
from operator import itemgetter

from coord.codec.calls import Call
from coord.model.requests import AtLeast
from coord.replica.pipeline import Pipeline


class Syncs:
    """Those of one server's clients."""

    __slots__ = ("_asked", "_order", "_probes", "_probing", "_reaching", "_ticket", "_to_ask")

    def __init__(self) -> None:
        self._ticket = 0
        self._order = 0
        self._to_ask: list[tuple[Pipeline, Call]] = []  # no barrier has been asked for them yet
        self._asked: dict[int, list[tuple[Pipeline, Call]]] = {}  # by ticket
        self._probes: list[Callable[[], None]] = []  # who only wants to know that a barrier passes
        self._probing: dict[int, list[Callable[[], None]]] = {}  # by ticket
        self._reaching: list[tuple[int, int, Pipeline, Call]] = []  # a heap: (zxid to be reached, order, who, what)

    def add(self, pipeline: Pipeline, call: Call) -> None:
        """A sync has come."""
        self._to_ask.append((pipeline, call))

    def probe(self, then: Callable[[], None]) -> None:
        """Call `then` once a barrier has passed that begins later: there is a leader, and a quorum has answered it."""
        self._probes.append(then)

    def wait_for(self, zxid: int, pipeline: Pipeline, call: Call) -> None:
        """`call` may be answered when this server has come to `zxid`."""
        self._order += 1
        heappush(self._reaching, (zxid, self._order, pipeline, call))

    @property
    def want_barrier(self) -> bool:
        """Whether a sync has come that no barrier was asked for yet."""
        return bool(self._to_ask or self._probes)

    @property
    def to_ask(self) -> Iterator[Pipeline]:
        """Whose syncs the next barrier is for."""
        return (pipeline for pipeline, _ in self._to_ask)

    def ask(self, ask_barrier: Callable[[int], object]) -> None:
        """Ask once for all syncs that came since the last time."""
        if self.want_barrier:
            self._ticket += 1
            self._asked[self._ticket], self._to_ask = self._to_ask, []
            if self._probes:
                self._probing[self._ticket], self._probes = self._probes, []
            ask_barrier(self._ticket)

    def passed(self, ticket: int, zxid: int) -> None:
        for pipeline, call in self._asked.pop(ticket, ()):
            self.wait_for(zxid, pipeline, call)
        for then in self._probing.pop(ticket, ()):
            then()

    def ask_again(self) -> None:
        """There is a leader (again): ask it what the last one was asked.

        Also what that has answered, where this server has not come to it: a leader names what one follower may have
        committed by itself, and it may turn out that none has. Then it is nowhere, and may never be reached.
        """
        answered = [each for each in self._reaching if type(each[3].request) is not AtLeast]
        if answered:
            self._to_ask += [(pipeline, call) for _, _, pipeline, call in sorted(answered, key=itemgetter(1))]
            self._reaching = [each for each in self._reaching if type(each[3].request) is AtLeast]
            heapify(self._reaching)
        for syncs in self._asked.values():
            self._to_ask += syncs
        self._asked.clear()
        for probes in self._probing.values():
            self._probes += probes
        self._probing.clear()

    def is_due(self, zxid: int) -> bool:
        """Whether one waits for no more than `zxid`."""
        return bool(self._reaching) and self._reaching[0][0] <= zxid

    def reached(self, zxid: int) -> list[tuple[Pipeline, Call]]:
        """Those that waited for no more than `zxid`, in order."""
        found: list[tuple[Pipeline, Call]] = []
        while self.is_due(zxid):
            _, _, pipeline, call = heappop(self._reaching)
            if not pipeline.gone:
                found.append((pipeline, call))
        return found

    def forget(self, pipeline: Pipeline) -> None:
        """Its connection is gone. What it waited for may never come."""
        if any(each[2] is pipeline for each in self._reaching):
            self._reaching = [each for each in self._reaching if each[2] is not pipeline]
            heapify(self._reaching)
