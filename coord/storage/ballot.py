"""The ballot on the disk: a server's word, in two copies of which one is good at every instant.

Every save writes copy a, syncs it, then writes copy b and syncs it, each in place. So a power cut can tear one of
them only, and once a save has returned both say the same: rot in either loses nothing (writing them in turns would
survive the power cut, but not rot in the newer copy: the server would remember an older promise and could vote twice).
At a start the whole copy with the highest generation counts, and the other one is written anew.

Both copies are made with their content under another name and renamed, so an unreadable one was torn or has rotted;
it was never just new.
"""

from struct import Struct

from coord.model.message import message
from coord.paxos.effects import Ballot
from coord.storage.disk import Disk
from coord.storage.errors import Damaged, OtherVersion, StorageRefused
from coord.storage.seal import OVERHEAD, seal, unseal

COPIES = ("ballot.a", "ballot.b")
UNFINISHED = "ballot.new"

_MAGIC = b"coordblt"
_BALLOT = Struct(">QQQQQQQQ")
"""generation, server, identity, cluster, promised, promised_to, accepted, suspect."""
_BYTES = OVERHEAD + _BALLOT.size


@message
class FoundBallot:
    """What the folder holds: the ballot with the highest generation, and which copies must be written anew."""

    ballot: Ballot
    generation: int
    repair: tuple[str, ...]


def find_ballot(disk: Disk, server: int) -> FoundBallot | None:
    """The ballot of `server`; None if there is no copy. Raises StorageRefused, and changes nothing."""
    found = read_ballot(disk)
    if found is not None and found.ballot.server != server:
        raise StorageRefused(
            f"the data folder belongs to server {found.ballot.server}, but this server has the id {server}; name the "
            "right folder or the right id"
        )
    return found


def read_ballot(disk: Disk) -> FoundBallot | None:
    """Whosever ballot there is, from both copies; None if there is neither. Raises StorageRefused."""
    there = set(disk.names(""))
    good: dict[str, tuple[int, Ballot]] = {}
    trouble: list[str] = []
    for name in COPIES:
        if name not in there:
            continue
        try:
            good[name] = _read(disk, name)
        except OtherVersion as other:
            raise StorageRefused(
                f"{name} was written by another version of coord: {other}; use that version"
            ) from other
        except Damaged as damaged:
            trouble.append(f"{name}: {damaged}")
    if not good:
        if not trouble:
            return None
        raise StorageRefused(
            f"no copy of the ballot can be read ({'; '.join(trouble)}): its promises are lost, and this server must "
            "not vote under its id again; move the data folder away and let it join under a new id, or restore "
            "ballot.a and ballot.b from their very latest state"
        )
    generation, ballot = max(good.values(), key=lambda found: found[0])
    repair = tuple(name for name in COPIES if name not in good or good[name][0] != generation)
    return FoundBallot(ballot, generation, repair)


class BallotFile:
    """The ballot, open for saving. `ballot` is what is durable."""

    def __init__(self, disk: Disk, ballot: Ballot, generation: int) -> None:
        self._disk = disk
        self._generation = generation
        self.ballot = ballot

    def __repr__(self) -> str:
        return f"<BallotFile generation {self._generation}, {self.ballot}>"

    def make(self, names: tuple[str, ...]) -> None:
        """Make these copies from nothing, each with its content before its name."""
        for name in names:
            self._write(UNFINISHED, self._generation, self.ballot, create=True)
            self._disk.rename(UNFINISHED, name)
            self._disk.sync_folder("")

    def settle(self, repair: tuple[str, ...]) -> None:
        """After a start: both copies say the same, durably.

        What a killed process had not synced can be read, and counts; a power cut would take it from the one copy, and
        rot could take the other (found by simulated seed 2193).
        """
        for name in COPIES:
            if name not in repair:
                file = self._disk.open(name)
                try:
                    file.sync()
                finally:
                    file.close()
        self.make(repair)

    def save(self, ballot: Ballot) -> None:
        """Make `ballot` durable in both copies, one after the other."""
        old = self.ballot
        assert (ballot.server, ballot.identity) == (old.server, old.identity), f"{ballot} is another server's: {old}"
        assert ballot.promised >= old.promised, f"{ballot} takes back the promise of {old}"
        assert ballot.accepted >= old.accepted, f"{ballot} takes back the acceptance of {old}"
        generation = self._generation + 1
        for name in COPIES:
            self._write(name, generation, ballot)
        self._generation = generation
        self.ballot = ballot

    def _write(self, name: str, generation: int, ballot: Ballot, *, create: bool = False) -> None:
        payload = _BALLOT.pack(
            generation,
            ballot.server,
            ballot.identity,
            ballot.cluster,
            ballot.promised,
            ballot.promised_to,
            ballot.accepted,
            ballot.suspect,
        )
        file = self._disk.open(name, create=create)
        try:
            file.write(0, [seal(_MAGIC, payload)])
            file.sync()
        finally:
            file.close()


def _read(disk: Disk, name: str) -> tuple[int, Ballot]:
    file = disk.open(name)
    try:
        data = file.read(0, _BYTES)
    finally:
        file.close()
    payload = unseal(_MAGIC, data)
    if len(payload) != _BALLOT.size:
        raise Damaged(f"it holds {len(payload)} bytes instead of {_BALLOT.size}")
    generation, *fields = _BALLOT.unpack(payload)
    return generation, Ballot(*fields)
