"""Ensembles that begin with what was restored: whole servers in memory, on disks with the restored files."""

import random
from pathlib import Path
from typing import Any

import pytest
import trio

from coord.past.backup import back_up
from coord.past.backup_file import BackupSource
from coord.past.looking import Place, state_at
from coord.past.remote import ServerSource
from coord.past.restore import Restored, Target, restore
from coord.server.errors import RefusedByEnsemble
from coord.storage.memory import MemoryDisk
from tests.server.memory_ensemble import CLIENT_PORT, MemoryEnsemble, causes, memory_ensemble
from tools.wire import jute
from tools.wire.client import SessionRefusedError

MADE_MS = 1_800_000_000_000
EPHEMERAL = 1


def memory_disk_of(folder: Path) -> MemoryDisk:
    """The files of a folder, durable."""
    disk = MemoryDisk()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != "lock":
            file = disk.open(str(path.relative_to(folder)), create=True)
            file.write(0, [path.read_bytes()])
            file.sync()
            file.close()
    for inner in ("", "snapshots"):
        disk.sync_folder(inner)
    return disk


class Old:
    """An ensemble that is gone but for a backup, and one of its clients."""

    def __init__(self, file: Path, session: int, password: bytes, digests: dict[int, int]) -> None:
        self.file = file
        self.session = session
        self.password = password
        self.digests = digests


async def lived(file: Path, **settings: Any) -> Old:
    """Written to by several, backed up while that goes on, and a little more written."""
    async with memory_ensemble(3, inspect="anyone", **settings) as servers:
        client, other = await servers.client(1), await servers.client(2)
        await client.create("/a", b"")
        await other.create("/a/eph", b"", flags=EPHEMERAL)
        digests: dict[int, int] = {}
        done = trio.Event()

        async def write() -> None:
            number = 0
            while not done.is_set() or number % 100:
                number += 1
                await trio.sleep(0.005)
                await client.set("/a", b"%d" % number * 40)
                for replica in servers.replicas.values():
                    digests[replica.machine.zxid] = replica.machine.digest

        async with trio.open_nursery() as nursery:
            nursery.start_soon(write)
            await trio.sleep(3)
            asker = servers.network.host("asker")
            source = ServerSource(asker, f"s{servers.leader()}", CLIENT_PORT, "the leader")
            await back_up(source, file, MADE_MS)
            done.set()
        return Old(file, client.session, client.password, digests)


async def disks_of(old: Old, folder: Path, *servers: int, name: str = "") -> tuple[Restored, list[MemoryDisk]]:
    targets = [Target(server, folder / f"{name}{server}") for server in servers]
    told = await restore(BackupSource(old.file), targets, random.Random(f"{servers} {name}"), name=name)
    return told, [memory_disk_of(target.folder) for target in targets]


async def wait_served(servers: MemoryEnsemble, count: int) -> None:
    await servers.wait(lambda: sum(replica.participant.serving for replica in servers.replicas.values()) >= count)


async def test_a_backup_taken_while_writes_go_on_is_a_state_that_was_and_starts_again(autojump_clock, tmp_path) -> None:
    old = await lived(
        tmp_path / "file", segment_bytes=8192, snapshot_after_bytes=20_000, snapshots_kept=2, past_bytes_max=0
    )
    source = BackupSource(old.file)
    assert 0 < source.header.start < source.end.last  # it begins with a snapshot, and goes on with the log
    backed_up = await state_at(source, Place(source.end.last))
    assert old.digests[backed_up.zxid] == backed_up.digest
    told, disks = await disks_of(old, tmp_path, 1, 2, 3)
    assert told.sessions_ended == 2
    async with memory_ensemble(3, start=False) as servers:
        servers.disks.update(enumerate(disks, 1))
        await servers.start_all()
        await wait_served(servers, 3)
        for replica in servers.replicas.values():
            assert replica.machine.digest == told.digest
            assert "/a/eph" not in replica.machine.tree.nodes
        client = await servers.client(2)
        await client.create("/b", b"goes on")
        assert await client.get("/a")
        assert not servers.failures


async def test_any_two_restored_servers_are_a_majority(autojump_clock, tmp_path) -> None:
    old = await lived(tmp_path / "file")
    _, disks = await disks_of(old, tmp_path, 1, 2, 3)
    async with memory_ensemble(3, start=False) as servers:
        servers.disks.update(enumerate(disks, 1))
        for server in (2, 3):
            await servers.start(server)
        await wait_served(servers, 2)
        await (await servers.client(3)).set("/a", b"new")
        servers.crash(3)
        await servers.start(1)
        await wait_served(servers, 2)
        assert await (await servers.client(1)).get("/a") == b"new"


async def test_folders_restored_apart_go_together_and_those_of_another_name_do_not(autojump_clock, tmp_path) -> None:
    old = await lived(tmp_path / "file")
    _, (one,) = await disks_of(old, tmp_path, 1)
    _, (two,) = await disks_of(old, tmp_path, 2)
    _, (third,) = await disks_of(old, tmp_path, 3, name="staging")
    async with memory_ensemble(3, start=False) as servers:
        servers.disks.update(enumerate((one, two, third), 1))
        for server in servers.servers:
            await servers.start(server)
        await wait_served(servers, 2)
        await servers.wait(lambda: 3 in servers.failures)
        assert any(isinstance(each, RefusedByEnsemble) for each in causes(servers.failures[3]))
        assert "belongs to another ensemble" in str(causes(servers.failures[3]))


async def test_empty_servers_fetch_from_the_one_that_was_restored(autojump_clock, tmp_path) -> None:
    old = await lived(tmp_path / "file")
    told, (disk,) = await disks_of(old, tmp_path, 2)
    async with memory_ensemble(3, start=False) as servers:
        servers.disks[2] = disk
        await servers.start(2)
        await servers.start(1)
        await wait_served(servers, 2)
        await servers.start(3)
        await wait_served(servers, 3)
        assert {replica.machine.digest for replica in servers.replicas.values()} == {told.digest}


async def test_empty_servers_that_were_first_refuse_the_restored_one_and_it_keeps_what_it_has(
    autojump_clock, tmp_path
) -> None:
    old = await lived(tmp_path / "file")
    told, (disk,) = await disks_of(old, tmp_path, 3)
    async with memory_ensemble(3, start=False) as servers:
        servers.disks[3] = disk
        await servers.start(1)
        await servers.start(2)
        await wait_served(servers, 2)
        await (await servers.client(1)).create("/b", b"they have begun")
        await servers.start(3)
        await servers.wait(lambda: 3 in servers.failures)
        assert any(isinstance(each, RefusedByEnsemble) for each in causes(servers.failures[3]))
    async with memory_ensemble(3, start=False) as servers:  # the operator has removed what the other two had
        servers.disks[3] = disk
        await servers.start(3)
        await servers.start(1)
        await wait_served(servers, 2)
        assert servers.replicas[1].machine.digest == told.digest


async def test_a_client_of_the_old_ensemble_is_told_that_its_session_is_over_and_opens_another(
    autojump_clock, tmp_path
) -> None:
    """Not that the server is behind, though what it has seen came after the backup."""
    old = await lived(tmp_path / "file")
    told, disks = await disks_of(old, tmp_path, 1)
    async with memory_ensemble(1, seed=2, start=False) as servers:
        servers.disks[1] = disks[0]
        await servers.start_all()
        client = await servers.dial(1)
        seen = max(old.digests)
        assert BackupSource(old.file).end.last < seen < told.zxid
        await client.stream.send_all(jute.connect_request(10_000, old.session, old.password, seen_zxid=seen))
        answer = jute.Reader(await client.receive_frame())
        answer.int32()
        assert answer.int32() == 0
        with pytest.raises(SessionRefusedError):
            await (await servers.dial(1)).open(10_000, old.session, old.password)
        again = await servers.client(1)
        assert again.session != old.session
        path = await again.create("/a/token", b"")
        assert path == "/a/token"
