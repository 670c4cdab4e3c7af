"""One fault at a time: who holds something is cut off, frozen, expired, deleted by hand. Mutants must be found."""

from contextlib import asynccontextmanager, suppress

import pytest
import trio

import coord
import coord.testing
from coord.testing.fixture import ensemble as ensemble
from coord.testing.fixture import virtual_clock as virtual_clock
from coord.testing.scheduling import Freezer
from recipes import (
    Barrier,
    DoubleBarrier,
    Election,
    Held,
    Lease,
    Lock,
    LockLost,
    MemberDied,
    MisuseError,
    ReadWriteLock,
    Semaphore,
)
from tests.recipes.contention import EXCLUSIVE, TIMEOUT_S, Inside, Violation, alone, ends_with


async def a_holder_is_cut_off(ensemble, make) -> Inside:
    """It goes on with its body until it is told; meanwhile another one waits, gets in, and stays for a while."""
    inside = Inside(alone)
    async with (
        ensemble.client(session_timeout=TIMEOUT_S) as first,
        ensemble.client(session_timeout=TIMEOUT_S) as second,
        trio.open_nursery() as nursery,
    ):
        entered, told = trio.Event(), trio.Event()

        async def hold() -> None:
            with ends_with(LockLost, coord.SessionLostError):
                async with make(first) as held, inside.body("first", held):
                    entered.set()
                    await trio.sleep(100 * TIMEOUT_S)
            told.set()

        async def wait() -> None:
            with suppress(LockLost):  # a lease ends by itself
                async with make(second) as held, inside.body("second", held):
                    await trio.sleep(4 * TIMEOUT_S)

        nursery.start_soon(hold)
        await entered.wait()
        nursery.start_soon(wait)
        await trio.sleep(0.5)
        ensemble.isolate(first)
        await ensemble.wait(lambda: inside.entered == ["first", "second"])
        await told.wait()
        ensemble.heal()
    return inside


@pytest.mark.parametrize("name", EXCLUSIVE)
async def test_who_is_cut_off_ends_before_the_next_begins(name, ensemble, virtual_clock):
    assert (await a_holder_is_cut_off(ensemble, EXCLUSIVE[name])).entered == ["first", "second"]


@pytest.mark.parametrize("name", EXCLUSIVE)
async def test_a_mutant_that_ignores_the_deadline_and_the_end_of_its_session_is_found(
    name, ensemble, virtual_clock, monkeypatch
):
    async def never(self) -> str:
        await trio.sleep_forever()

    monkeypatch.setattr(Held, "wait_lost", never)
    with ends_with(Violation):
        await a_holder_is_cut_off(ensemble, EXCLUSIVE[name])


async def late_write(ensemble, make) -> bytes:
    """A holder whose znode was deleted, and who does not know it, makes a guarded write; what is there in the end."""
    async with ensemble.client() as client, ensemble.client() as other:
        await client.create("/data")
        with ends_with(LockLost):
            async with make(client) as held:
                async with client.transaction(guard=held) as txn:
                    txn.set("/data", b"in time")
                await other.sync()
                await other.delete(held.path)
                with suppress(coord.NoNodeError, coord.BadVersionError):
                    async with client.transaction(guard=held) as txn:
                        txn.set("/data", b"too late")
                await trio.sleep(5)
        return (await client.get("/data"))[0]


@pytest.mark.parametrize("name", EXCLUSIVE)
async def test_a_late_holders_guarded_write_is_refused(name, ensemble, virtual_clock):
    assert await late_write(ensemble, EXCLUSIVE[name]) == b"in time"


async def test_a_mutant_whose_guard_is_not_looked_at_is_found(ensemble, virtual_clock, monkeypatch):
    transaction = coord.Client.transaction
    monkeypatch.setattr(coord.Client, "transaction", lambda client, guard=None: transaction(client))
    assert await late_write(ensemble, EXCLUSIVE["lock"]) == b"too late"


@pytest.mark.parametrize("name", EXCLUSIVE)
async def test_what_is_kept_after_its_block_is_not_held(name, ensemble, virtual_clock):
    async with ensemble.client() as client:
        async with EXCLUSIVE[name](client) as held:
            held.check()
            assert held.remaining > 1
        assert held.remaining == 0
        with pytest.raises(LockLost, match=f"{held.path} is held no more: its block has ended"):
            held.check()


@pytest.mark.parametrize("name", ["lock", "write", "semaphore", "election"])
async def test_who_was_frozen_while_its_session_ended_is_told_by_check_and_its_guarded_write_is_refused(
    name, ensemble, virtual_clock
):
    freezer = Freezer()
    steps: list[str] = []
    tasks: list[trio.lowlevel.Task] = []
    entered, thawed = trio.Event(), trio.Event()

    async def program() -> None:
        tasks.append(trio.lowlevel.current_task())
        with ends_with(LockLost, coord.SessionLostError):
            async with ensemble.client(session_timeout=TIMEOUT_S) as client, EXCLUSIVE[name](client) as held:
                entered.set()
                while True:
                    await trio.sleep(0.1)
                    held.check()
                    steps.append("first")
        thawed.set()

    async with ensemble.client() as other, trio.open_nursery() as nursery:
        nursery.start_soon(program)
        await entered.wait()
        freezer.freeze(tasks[0])
        async with EXCLUSIVE[name](other):
            steps.append("second")
            freezer.thaw(tasks[0])
            await thawed.wait()
            assert steps[-1] == "second"


async def entered_in_turn(ensemble, make) -> list[str]:
    """Eight ask one after the other; who came in, in order."""
    inside = Inside(alone)
    async with ensemble.client() as client, ensemble.client() as other:

        async def contend(number: int) -> None:
            async with make((client, other)[number % 2]) as held, inside.body(f"{number}", held):
                await trio.sleep(0.1)

        async with trio.open_nursery() as nursery:
            for number in range(8):
                nursery.start_soon(contend, number)
                await trio.sleep(0.02)
    return inside.entered


@pytest.mark.parametrize("name", EXCLUSIVE)
async def test_they_come_in_the_order_in_which_they_asked(name, ensemble, virtual_clock):
    assert await entered_in_turn(ensemble, EXCLUSIVE[name]) == list("01234567")


async def test_a_mutant_that_tries_again_and_again_instead_of_waiting_in_line_is_found(ensemble, virtual_clock):
    class Impatient(Lock):
        @asynccontextmanager
        async def _hold(self):
            while True:
                async with self._try() as held:
                    if held is not None:
                        yield held
                        return
                await trio.sleep(ensemble.rng.random() * 0.1)

    assert await entered_in_turn(ensemble, lambda client: Impatient(client, "/x")) != list("01234567")


async def count_whole_lines_read(ensemble, gap: int) -> int:
    """Sixty pass a lock round, with a gap of so many numbers among them; how often one read all of the line."""
    lists: list[str] = []
    async with ensemble.client() as client:
        listing = client.each_child

        def each_child(path, **options):
            lists.append(path)
            return listing(path, **options)

        client.each_child = each_child
        inside = Inside(alone)

        async def contend() -> None:
            async with Lock(client, "/lock") as held, inside.body("", held):
                await trio.sleep(0.001)

        async with trio.open_nursery() as nursery, Lock(client, "/lock"):
            for _ in range(2):
                for _ in range(30):
                    nursery.start_soon(contend)
                await ensemble.advance(1)
                for _ in range(gap):
                    await client.delete(await client.create("/lock/lock-", sequential=True))
        assert len(inside.entered) == 60
    return len(lists)


async def test_neither_a_release_nor_who_comes_reads_the_whole_line(ensemble, virtual_clock):
    assert await count_whole_lines_read(ensemble, 0) < 3  # whoever it waited for may leave while it looks


async def test_who_finds_nobody_right_before_it_reads_the_whole_line(ensemble, virtual_clock):
    assert 0 < await count_whole_lines_read(ensemble, 30) < 60


async def test_a_timeout_and_an_attempt_leave_no_place(ensemble, virtual_clock):
    async with ensemble.client() as client, ensemble.client() as other, Lock(client, "/lock", name="one"):
        with pytest.raises(TimeoutError, match=r"/lock was not got within 0\.5 s"):
            async with Lock(other, "/lock", timeout=0.5):
                pass
        async with Lock(other, "/lock", name="two").attempt() as held:
            assert held is None
        assert await Lock(other, "/lock").contenders() == ["one"]


async def test_misuse_is_told_in_one_sentence(ensemble, virtual_clock):
    async with ensemble.client() as client:
        lock = Lock(client, "/lock")
        async with lock:
            with pytest.raises(MisuseError, match="is in use"):
                await lock.__aenter__()
            with pytest.raises(MisuseError, match="would wait for itself"):
                async with Lock(client, "/lock"):
                    pass
        rw = ReadWriteLock(client, "/rw")
        async with rw.read():
            with pytest.raises(MisuseError, match="for reading and asks for it for writing"):
                async with rw.write():
                    pass
        with pytest.raises(ValueError, match="not 'lock'"):
            Lock(client, "lock")
        with pytest.raises(ValueError, match="not 'curator'"):
            Lock(client, "/lock", layout="curator")
        with pytest.raises(MisuseError, match="from 1 to 1,000,000,000, not 0"):
            Semaphore(client, "/sem", 0)
        async with Semaphore(client, "/sem", 3), Semaphore(client, "/other", 1):
            await Semaphore(client, "/sem").set_capacity(1)
        async with trio.open_nursery() as nursery:
            for _ in range(2):
                nursery.start_soon(hold_a_while, Semaphore(client, "/two", 2))
            await trio.sleep(0.1)
            with pytest.raises(MisuseError, match="is held by 2"):
                await Semaphore(client, "/two").set_capacity(1)
        election = Election(client, "/election")
        await anext(election)
        with pytest.raises(MisuseError, match="was not entered"):
            await anext(election)
        assert await client.children("/election") == []


async def hold_a_while(semaphore: Semaphore) -> None:
    async with semaphore:
        await trio.sleep(0.5)


async def test_after_an_expired_holder_the_lock_stays_closed_and_after_a_release_it_does_not(ensemble, virtual_clock):
    async with ensemble.client(session_timeout=TIMEOUT_S) as one, ensemble.client() as two:
        async with Lock(one, "/lock", delay=20):
            pass
        begun = trio.current_time()
        async with Lock(two, "/lock"):
            assert trio.current_time() - begun < 1
        with ends_with(LockLost, coord.SessionLostError):
            async with Lock(one, "/lock", delay=20):
                ensemble.isolate(one)
                await trio.sleep(60)
        await trio.sleep(TIMEOUT_S)
        begun = trio.current_time()
        async with Lock(two, "/lock").attempt() as held:
            assert held is None
        with trio.move_on_after(1):  # whoever gives up does not open it for others
            async with Lock(two, "/lock"):
                pass
        async with Lock(two, "/lock"):
            assert 19 < trio.current_time() - begun < 25
        assert await two.children("/lock") == []


async def let_in_by_a_downgrade(ensemble) -> list[str]:
    """Of a reader, a writer and a reader that wait, and a writer that comes after it; later they all come in."""
    seen: list[str] = []
    async with ensemble.client() as client, ensemble.client() as other:

        async def use(kind: str, name: str) -> None:
            lock = ReadWriteLock(other, "/rw")
            async with lock.read() if kind == "read" else lock.write():
                seen.append(name)

        async with trio.open_nursery() as nursery, ReadWriteLock(client, "/rw").write() as held:
            for kind, name in (("read", "r1"), ("write", "w"), ("read", "r2")):
                nursery.start_soon(use, kind, name)
                await trio.sleep(0.1)
            assert seen == []
            await held.downgrade()
            nursery.start_soon(use, "write", "w2")
            await trio.sleep(0.1)
            let_in = list(seen)
        assert sorted(seen) == ["r1", "r2", "w", "w2"]
    return let_in


async def test_a_downgrade_lets_readers_in_and_no_writer(ensemble, virtual_clock):
    assert await let_in_by_a_downgrade(ensemble) == ["r1"]


async def test_a_mutant_that_does_not_see_a_downgrade_is_found(ensemble, virtual_clock, monkeypatch):
    def any_writer(lock, ahead, own):
        return next((entry for entry in reversed(ahead) if entry.kind == "write"), None)

    monkeypatch.setattr(ReadWriteLock, "_writer_ahead", any_writer)
    assert await let_in_by_a_downgrade(ensemble) == []


async def test_a_semaphore_lets_in_more_when_its_capacity_grows_and_fewer_when_it_shrinks(ensemble, virtual_clock):
    running: list[int] = []
    most: list[int] = []
    async with ensemble.client() as client:

        async def use(number: int) -> None:
            async with Semaphore(client, "/sem", 2):
                running.append(number)
                most.append(len(running))
                await trio.sleep(1)
                running.remove(number)

        async with trio.open_nursery() as nursery:
            for number in range(12):
                nursery.start_soon(use, number)
            await trio.sleep(0.5)
            assert len(running) == 2
            await Semaphore(client, "/sem").set_capacity(4)
            await trio.sleep(0.2)
            assert len(running) == 4
            await Semaphore(client, "/sem").set_capacity(1, below_holders=True)
            await trio.sleep(2)
            assert len(running) == 1
        assert max(most) == 4


async def test_elections_follow_priority_then_order_and_a_named_successor_before_both(ensemble, virtual_clock):
    led: list[str] = []
    followed: list[str | None] = []
    async with ensemble.client() as client, ensemble.client() as other:

        async def stand(name: str, priority: int, successor: str = "") -> None:
            async for term in Election(client, "/e", name=name, priority=priority):
                async with term:
                    led.append(name)
                    await trio.sleep(1)
                    if successor:
                        await term.hand_over(successor)
                        with pytest.raises(MisuseError, match="nobody called 'x'"):
                            await term.hand_over("x")
                break

        async def follow() -> None:
            async for leader in Election(other, "/e").leader:
                followed.append(leader and leader.name)

        async with trio.open_nursery() as observing:
            observing.start_soon(follow)
            async with trio.open_nursery() as nursery:
                for arguments in (("a", 0, "d"), ("b", 0), ("c", 5), ("d", -1)):
                    nursery.start_soon(stand, *arguments)
                    await trio.sleep(0.05)
            await trio.sleep(0.1)
            observing.cancel_scope.cancel()
        assert led == ["a", "d", "c", "b"]
        assert [each for each in followed if each] == led
        assert await Election(other, "/e").leader is None


async def test_an_election_runs_a_function_again_after_a_lost_term(ensemble, virtual_clock):
    terms: list[int] = []
    async with ensemble.client() as client, ensemble.client() as other:

        async def serve(term, answer: int) -> int:
            terms.append(term.token)
            if len(terms) == 1:
                await other.sync()
                await other.delete(term.path)
                await trio.sleep_forever()
            return answer

        assert await Election(client, "/e").run(serve, 42) == 42
        assert len(terms) == 2
        assert terms == sorted(terms)


async def test_a_term_that_ends_by_its_own_check_is_followed_by_another_and_other_errors_come_out(
    ensemble, virtual_clock
):
    terms = 0
    async with ensemble.client(session_timeout=TIMEOUT_S) as client:
        with pytest.raises(LockLost, match="another lock"):  # noqa: PT012
            async for term in Election(client, "/e", margin=1):
                async with term:
                    terms += 1
                    if terms == 2:
                        raise LockLost("another lock")
                    term.lost = "as if it had just been found out"
                    term.check()
        assert terms == 2
        assert await client.children("/e") == []


async def test_a_barrier_holds_everybody_until_it_is_opened(ensemble, virtual_clock):
    async with ensemble.client() as client, ensemble.client() as other:
        assert await Barrier(client, "/b/arrier").close()
        assert not await Barrier(other, "/b/arrier").close()
        with pytest.raises(TimeoutError):
            await Barrier(other, "/b/arrier").wait(timeout=1)
        through: list[int] = []

        async def wait(number: int) -> None:
            await Barrier(other, "/b/arrier").wait()
            through.append(number)

        async with trio.open_nursery() as nursery:
            for number in range(3):
                nursery.start_soon(wait, number)
            ensemble.crash(ensemble.leader())
            await trio.sleep(5)
            assert through == []
            assert await Barrier(client, "/b/arrier").open()
        assert sorted(through) == [0, 1, 2]
        await Barrier(other, "/b/arrier").wait()


async def rounds(ensemble) -> None:
    begun: list[tuple[int, int]] = []
    ended: list[tuple[int, int]] = []
    async with ensemble.client() as client, ensemble.client() as other:

        async def member(number: int) -> None:
            for turn in range(3):
                await trio.sleep(number * 0.3)
                async with DoubleBarrier((client, other)[number % 2], "/d", 3, name=f"m{number}") as party:
                    assert len(party.members) == 3
                    begun.append((turn, number))
                    await trio.sleep((3 - number) * 0.3)
                    assert len([each for each in begun if each[0] == turn]) == 3
                    ended.append((turn, number))
                assert len([each for each in ended if each[0] == turn]) == 3

        async with trio.open_nursery() as nursery:
            for number in range(3):
                nursery.start_soon(member, number)
        assert [turn for turn, _ in begun] == [0, 0, 0, 1, 1, 1, 2, 2, 2]
        assert await client.children("/d") == []


async def test_a_double_barrier_begins_with_all_and_ends_with_all_round_after_round(ensemble, virtual_clock):
    await rounds(ensemble)


async def nothing(self, *arguments) -> None:
    await trio.lowlevel.checkpoint()


@pytest.mark.parametrize("mutant", ["begins with fewer", "does not wait at its end"])
async def test_a_mutant_of_the_double_barrier_is_found(mutant, ensemble, virtual_clock, monkeypatch):
    if mutant == "begins with fewer":
        monkeypatch.setattr(DoubleBarrier, "count", property(lambda self: 2, lambda self, count: None), raising=False)
    else:
        monkeypatch.setattr(DoubleBarrier, "_wait_others", nothing)
    with ends_with(AssertionError):
        await rounds(ensemble)


async def test_a_double_barrier_says_who_died_and_who_did_not_come(ensemble, virtual_clock):
    async with ensemble.client() as client, ensemble.client(session_timeout=TIMEOUT_S) as dying:
        with pytest.raises(TimeoutError, match="fewer than 2 came to /d"):
            async with DoubleBarrier(client, "/d", 2, timeout=1):
                pass
        assert await client.children("/d") == []

        async def die() -> None:
            with ends_with(LockLost, coord.SessionLostError):
                async with DoubleBarrier(dying, "/d", 2, name="mortal"):
                    ensemble.isolate(dying)
                    await trio.sleep(60)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(die)
            with pytest.raises(MemberDied, match="mortal died inside the barrier /d") as caught:
                async with DoubleBarrier(client, "/d", 2, name="other"):
                    pass
        assert caught.value.names == ["mortal"]
        assert await client.children("/d") == []


async def test_a_lease_ends_by_itself_and_can_be_renewed_and_outlives_the_session(ensemble, virtual_clock):
    async with ensemble.client() as client, ensemble.client(session_timeout=TIMEOUT_S) as other:
        begun = trio.current_time()
        with ends_with(LockLost):
            async with Lease(client, "/lease", 10, margin=1, name="one") as lease:
                assert await Lease(other, "/lease", 10).holder() == "one"
                await trio.sleep(5)
                await lease.renew()
                await trio.sleep(100)
        assert 13.9 < trio.current_time() - begun < 14.5
        async with Lease(other, "/lease", 30, margin=1):
            await ensemble.expire_session(other)
            await trio.sleep(5)
            with pytest.raises(TimeoutError):
                async with Lease(client, "/lease", 1, timeout=2):
                    pass
