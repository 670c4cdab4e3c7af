"""Whole servers on disks that have rotted: what one has lost the others give back, and nobody serves without it."""

import pytest

import coord.testing
from coord.model.entries import zxid_of
from coord.storage.memory import MemoryDisk
from coord.storage.records import RECORD_MAGIC
from coord.testing import ConnectionLost, Ensemble
from coord.testing.clock import VirtualClock


def rot(disk: MemoryDisk, value: bytes) -> None:
    """Wherever `value` stands in the log it is something else now."""
    hits = 0
    for name, content in disk.contents().items():
        at = content.find(value) if name.startswith("log/") else -1
        if at >= 0:
            disk.damage(name, at, b"?")
            hits += 1
    assert hits, f"{value!r} is in no segment"


async def filled(ensemble: Ensemble) -> None:
    """Ten znodes on all disks; then every server is killed."""
    client = await ensemble.connect()
    for number in range(10):
        await client.create(f"/n{number}", b"value-%d-" % number)
    await ensemble.wait_converged()
    for server in ensemble.servers:
        ensemble.crash(server)


async def values(ensemble: Ensemble, server: int) -> list[bytes]:
    client = await ensemble.connect(server)
    return [(await client.get(f"/n{number}"))[0] for number in range(10)]


EVERYTHING = [b"value-%d-" % number for number in range(10)]


async def test_two_damaged_servers_make_each_other_whole_while_the_third_is_away(virtual_clock: VirtualClock) -> None:
    async with coord.testing.ensemble(servers=3, seed=3) as ensemble:
        await filled(ensemble)
        for number in (2, 9):
            rot(ensemble.disks[1], b"value-%d-" % number)
        for number in (4, 5):
            rot(ensemble.disks[2], b"value-%d-" % number)
        for server in (1, 2):
            await ensemble.start(server)
        await ensemble.wait_leader([1, 2])
        assert await values(ensemble, 1) == await values(ensemble, 2) == EVERYTHING
        await ensemble.restart(1)
        await ensemble.start(3)
        await ensemble.wait_converged()
        assert await values(ensemble, 1) == EVERYTHING


async def test_a_damaged_server_lets_nobody_lead_who_lacks_what_it_may_have_acknowledged(
    virtual_clock: VirtualClock,
) -> None:
    async with coord.testing.ensemble(servers=3, seed=4) as ensemble:
        client = await ensemble.connect()
        await client.create("/first", b"")
        await ensemble.wait_converged()
        behind = ensemble.followers()[0]
        ensemble.crash(behind)
        await (await ensemble.connect(ensemble.leader())).create("/second", b"only-on-two-disks")
        others = [server for server in ensemble.servers if server != behind]
        await ensemble.wait(lambda: len({ensemble.server(server).zxid for server in others}) == 1)
        for server in others:
            ensemble.crash(server)
        rot(ensemble.disks[others[0]], b"only-on-two-disks")

        await ensemble.start(behind)
        await ensemble.start(others[0])
        with pytest.raises(ConnectionLost):
            await ensemble.connect(behind, session_timeout_s=6)
        assert ensemble.leader() is None

        await ensemble.start(others[1])
        await ensemble.wait_converged()
        for server in ensemble.servers:
            assert (await (await ensemble.connect(server)).get("/second"))[0] == b"only-on-two-disks"


async def test_a_lost_state_is_copied_from_the_leader(virtual_clock: VirtualClock) -> None:
    settings = {"segment_bytes": 1000, "snapshot_after_bytes": 800, "snapshots_kept": 1, "past_bytes_max": 0}
    async with coord.testing.ensemble(servers=3, seed=5, **settings) as ensemble:
        disk = ensemble.disks[1]

        def snapshots() -> list[str]:
            return [name for name in disk.contents() if name.startswith("snapshots/0")]

        client = await ensemble.connect()
        await client.create("/padding", bytes(2000))
        await ensemble.wait(lambda: bool(snapshots()))
        await filled(ensemble)
        assert f"log/{zxid_of(1, 1):016x}" not in disk.contents()  # the log does not go back to the beginning
        for name in snapshots():
            disk.damage(name, 20, b"rot")
        for server in ensemble.servers:
            await ensemble.start(server)
        await ensemble.wait_converged()
        assert await values(ensemble, 1) == EVERYTHING


async def test_a_server_that_cannot_tell_what_it_lost_follows_the_leader_that_it_had(
    virtual_clock: VirtualClock,
) -> None:
    async with coord.testing.ensemble(servers=3, seed=6) as ensemble:
        client = await ensemble.connect(ensemble.leader())
        await client.create("/only", b"the-last-record-")
        await ensemble.wait_converged()
        leader, damaged = ensemble.leader(), ensemble.followers()[0]
        ensemble.crash(damaged)
        disk = ensemble.disks[damaged]
        # The last record is bad, and nothing names it any more.
        disk.damage("tail", 0, b"rot")
        (segment,) = [name for name in disk.contents() if name.startswith("log/")]
        disk.damage(segment, disk.contents()[segment].rfind(RECORD_MAGIC) + 20, b"rot")
        await ensemble.start(damaged)
        assert ensemble.replicas[damaged].participant.ballot.suspect
        assert await ensemble.wait_leader() == leader
        assert ensemble.replicas[damaged].participant.ballot.suspect == 0
