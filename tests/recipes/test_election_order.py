"""Of those who stand when a term ends the one that was named leads next, else the highest priority, else the oldest.

Looked at in the servers' own state, at each place in the log: no candidate's view of it is believed.
"""

import random
from contextlib import suppress
from typing import Any

import pytest
import trio

import coord
import coord.testing
from coord.state.machine import Machine
from coord.testing.fixture import ensemble as ensemble
from coord.testing.fixture import virtual_clock as virtual_clock
from recipes import Election, LockLost, MisuseError
from recipes import election as election_module
from recipes.election import Term
from recipes.place import Places
from tests.recipes.contention import Contention, Violation, ends_with, make_mischief, seeds, wait_nobody_left

SEAT = "/election/leader"

Candidates = dict[str, tuple[bytes, tuple[bool, int, int]]]
"""By znode: what is in it, and its rank, the smallest of which comes first."""


class Order:
    """Who stood at the end of each term, and who led next."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.zxid = 0
        self.terms = 0
        self.by_name = 0
        """How many were led by a named successor."""
        self.wrong: list[str] = []
        self.leading = False
        self.stood: Candidates = {}  # when the last term ended
        apply = Machine.apply

        def applied(machine: Machine, zxid: int, *arguments: Any, **options: Any) -> Any:
            before = candidates(machine) if zxid > self.zxid else None
            reply = apply(machine, zxid, *arguments, **options)
            if before is not None:
                self.zxid = zxid
                self.look(machine, before)
            return reply

        monkeypatch.setattr(Machine, "apply", applied)

    def look(self, machine: Machine, before: Candidates) -> None:
        seat = machine.tree.nodes.get(SEAT)
        if self.leading and seat is None:
            self.stood = before
        if seat is not None and not self.leading:
            self.terms += 1
            elected, rank = next((value, rank) for value, rank in before.values() if value == seat.data)
            self.by_name += not rank[0]
            for name, (_, other) in before.items():
                if name in self.stood and other < rank:
                    self.wrong.append(f"{elected!r} of rank {rank} leads, and {name} of rank {other} stood before")
        self.leading = seat is not None


def candidates(machine: Machine) -> Candidates:
    found: Candidates = {}
    root = machine.tree.nodes.get("/election")
    for path in (root.children or ()) if root is not None else ():
        kind, _, _ = path.removeprefix("/election/").rpartition("-")
        if kind.startswith("candidate."):
            znode = machine.tree.nodes[path]
            priority = int(kind.removeprefix("candidate."))
            rank = (False, -znode.mzxid, 0) if znode.version else (True, -priority, znode.czxid)
            found[path] = (znode.data or b"", rank)
    return found


async def run_seed(seed: int, monkeypatch: pytest.MonkeyPatch) -> Order:
    order = Order(monkeypatch)

    async def use(client: coord.Client, name: str, rng: random.Random) -> None:
        async for term in Election(client, "/election", name=name, priority=rng.randrange(3)):
            async with term:
                await trio.sleep(rng.random() * 0.3)
                if rng.random() < 0.5:
                    with suppress(MisuseError):
                        await term.hand_over(f"c{rng.randrange(5)}")
            break

    async with coord.testing.ensemble(seed=seed) as ensemble:
        contention = Contention(ensemble, use, count=5)
        await contention.run(make_mischief)
        await wait_nobody_left(ensemble, "/election")
    assert order.terms > 2
    if order.wrong:
        raise Violation(order.wrong[0])
    return order


@pytest.mark.parametrize("seed", seeds("1-6"))
async def test_the_order_of_leaders_under_faults(seed, virtual_clock, monkeypatch):
    await run_seed(seed, monkeypatch)


async def test_some_of_them_are_named_successors(virtual_clock, monkeypatch):
    assert (await run_seed(1, monkeypatch)).by_name > 3


async def test_an_election_by_age_alone_is_found(virtual_clock, monkeypatch):
    monkeypatch.setattr(election_module, "rank", lambda entry: entry.stat.czxid)
    with ends_with(Violation):
        await run_seed(1, monkeypatch)


async def test_an_election_that_forgets_who_was_named_is_found(virtual_clock, monkeypatch):
    def by_priority(entry):
        return -int(entry.kind.partition(".")[2]), entry.stat.czxid

    monkeypatch.setattr(election_module, "rank", by_priority)
    with ends_with(Violation):
        await run_seed(1, monkeypatch)


async def test_who_has_read_the_line_before_a_successor_was_named_reads_it_again(ensemble, virtual_clock, monkeypatch):
    """Its read is answered, then a term ends whose leader has named another; only then it goes on."""
    led: list[str] = []
    leading = ensemble.replicas[ensemble.leader()]
    async with ensemble.client() as one, ensemble.client() as two, ensemble.client() as slow:
        read, named = trio.Event(), trio.Event()
        entries = Places.entries

        async def slowly(places: Places):
            found = await entries(places)
            if places.client is slow and not read.is_set():
                read.set()
                await named.wait()
            return found

        monkeypatch.setattr(Places, "entries", slowly)

        async def first(term: Term) -> None:
            nursery.start_soon(Election(slow, "/x", name="slow").run, note)
            await read.wait()
            nursery.start_soon(Election(two, "/x", name="named").run, note)
            await ensemble.wait(lambda: len(leading.machine.tree.nodes["/x"].children) == 3)
            await term.hand_over("named")
            ensemble.isolate(two)  # so it is not quicker by chance

        async def note(term: Term) -> None:
            led.append(term.name)

        async with trio.open_nursery() as nursery:
            await Election(one, "/x").run(first)
            named.set()
            await trio.sleep(1)
            ensemble.heal()
    assert led == ["named", "slow"]


async def test_who_leads_no_more_names_nobody(ensemble, virtual_clock):
    told: list[str] = []
    leading = ensemble.replicas[ensemble.leader()]
    async with ensemble.client() as one, ensemble.client() as two, trio.open_nursery() as nursery:
        async with await anext(Election(one, "/x")) as term:
            nursery.start_soon(anext, Election(two, "/x", name="named"))
            await ensemble.wait(lambda: len(leading.machine.tree.nodes["/x"].children) == 2)
            with trio.CancelScope(shield=True):  # it is told that the term is lost, maybe before `two` is answered
                await two.delete("/x/leader")
                try:
                    await term.hand_over("named")
                except LockLost as lost:
                    told.append(str(lost))
        assert "so nobody was named" in told[0]
        nursery.cancel_scope.cancel()
