"""A disk in memory that forgets like a real one: for ensembles in one process, for the simulator, and for tests.

What is written is visible at once and durable only after the syncs that disk.py names. `crash` cuts the power:
of what was not synced any part may survive, each piece of a write by itself, each rename and removal by itself,
in harsher combinations than a file system would leave. `before` is called ahead of every operation that changes
something, and may raise: an OSError to let the disk fail there, PowerCut to stop the server there.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random

from coord.model.message import message
from coord.storage.errors import StorageFailure, StorageRefused

PIECES_MAX = 4
"""A torn write falls in at most so many pieces."""

SECTOR_BYTES = 512
"""Pieces begin and end where sectors do: a disk writes each of them whole or not at all."""


class PowerCut(BaseException):
    """The power went off in the middle of an operation. Raised by a test's `before`, handled by nobody but the test."""


class MemoryDisk:
    """A folder in memory, with what of it is durable kept apart."""

    instant = True

    def __init__(
        self,
        *,
        before: Callable[[str, str], None] | None = None,
        lies: Callable[[str, str], bool] | None = None,
    ) -> None:
        """Both are asked with an operation and a name; where `lies` says so, a sync succeeds and does nothing."""
        self.before = before
        self.lies = lies
        self._files: dict[str, _Inode] = {}
        self._durable: dict[str, _Inode] = {}
        self._pending: list[_NameChange] = []  # names not yet durable, in the order in which they were changed
        self._locked = False
        self._power = 0  # counts crashes: a file opened before one is dead

    def __repr__(self) -> str:
        return f"<MemoryDisk {len(self._files)} files, {len(self._pending)} names not durable>"

    # ---- the disk

    def lock(self) -> None:
        if self._locked:
            raise StorageRefused("the data folder in memory is in use by another server; give this one its own")
        self._locked = True

    def close(self) -> None:
        self._locked = False

    def names(self, folder: str) -> list[str]:
        return sorted(name.rpartition("/")[2] for name in self._files if name.rpartition("/")[0] == folder)

    def open(self, name: str, *, create: bool = False) -> "MemoryFile":
        inode = self._files.get(name)
        if inode is None:
            if not create:
                raise StorageFailure(f"opening {name} failed: no such file")
            self._ask("create", name)
            inode = _Inode()
            self._change(_NameChange(None, name, inode))
        return MemoryFile(self, name, inode)

    def rename(self, old: str, new: str) -> None:
        self._ask("rename", old)
        assert old.rpartition("/")[0] == new.rpartition("/")[0], f"{old} and {new} are in different folders"
        self._change(_NameChange(old, new, self._find(old)))

    def remove(self, name: str) -> None:
        self._ask("remove", name)
        self._change(_NameChange(name, None, self._find(name)))

    def sync_folder(self, folder: str) -> None:
        self._ask("sync_folder", folder)
        if self.lies is not None and self.lies("sync_folder", folder):
            return
        waiting: list[_NameChange] = []
        for change in self._pending:
            if change.folder == folder:
                change.apply(self._durable)
            else:
                waiting.append(change)
        self._pending = waiting

    # ---- what may happen to it

    def crash(self, chance: Random | None = None) -> None:
        """Cut the power, and switch it on again. `chance` decides what survives; without it nothing un-synced does."""
        for change in self._pending:
            if chance is not None and chance.random() < 0.5:
                change.apply(self._durable)
        self._pending.clear()
        self._files = dict(self._durable)
        for inode in {id(inode): inode for inode in self._files.values()}.values():
            inode.crash(chance)
        self._locked = False
        self._power += 1

    def copy(self) -> "MemoryDisk":
        """Another disk with the same content, durable and not; nobody has it open."""
        other = MemoryDisk(lies=self.lies)
        inodes: dict[int, _Inode] = {}

        def twin(inode: _Inode) -> _Inode:
            if id(inode) not in inodes:
                inodes[id(inode)] = inode.copy()
            return inodes[id(inode)]

        other._files = {name: twin(inode) for name, inode in self._files.items()}
        other._durable = {name: twin(inode) for name, inode in self._durable.items()}
        other._pending = [_NameChange(change.old, change.new, twin(change.inode)) for change in self._pending]
        return other

    def damage(self, name: str, offset: int, data: bytes) -> None:
        """Let the medium rot: `data` now stands at `offset`, durably, and nobody was told.

        Only what has reached the medium can rot there, so the file counts as synced.
        """
        inode = self._find(name)
        inode.sync()
        for content in (inode.visible, inode.durable):
            content.write(offset, data[: max(0, content.size - offset)])

    def contents(self) -> dict[str, bytes]:
        """Every file, as a reader sees it now."""
        return {name: inode.visible.read(0, inode.visible.size) for name, inode in sorted(self._files.items())}

    # ---- helpers

    def _ask(self, verb: str, name: str) -> None:
        if self.before is not None:
            try:
                self.before(verb, name)
            except OSError as error:
                raise StorageFailure(f"{verb} of {name} failed: {error.strerror} (errno {error.errno})") from error

    def _find(self, name: str) -> "_Inode":
        try:
            return self._files[name]
        except KeyError:
            raise StorageFailure(f"there is no file {name}") from None

    def _change(self, change: "_NameChange") -> None:
        change.apply(self._files)
        self._pending.append(change)


class MemoryFile:
    """A file of a MemoryDisk. It outlives its name, as an open file does."""

    __slots__ = ("_disk", "_inode", "_name", "_power")

    def __init__(self, disk: MemoryDisk, name: str, inode: "_Inode") -> None:
        self._disk = disk
        self._name = name
        self._inode = inode
        self._power = disk._power

    def size(self) -> int:
        self._check_power()
        return self._inode.visible.size

    def read(self, offset: int, length: int) -> bytes:
        self._check_power()
        return self._inode.visible.read(offset, length)

    def write(self, offset: int, buffers: Sequence[bytes]) -> None:
        self._ask("write")
        self._inode.change(_Write(offset, b"".join(buffers)))

    def truncate(self, size: int) -> None:
        self._ask("truncate")
        self._inode.change(_Cut(size))

    def allocate(self, size: int) -> None:
        self._ask("allocate")
        self._inode.change(_Room(size))

    def sync(self) -> None:
        self._ask("sync")
        if self._disk.lies is None or not self._disk.lies("sync", self._name):
            self._inode.sync()

    def close(self) -> None:
        pass

    def _ask(self, verb: str) -> None:
        self._check_power()
        self._disk._ask(verb, self._name)

    def _check_power(self) -> None:
        if self._power != self._disk._power:
            raise StorageFailure(f"{self._name} was opened before the power was cut")


class _Content:
    """Bytes with a length of their own: what was never written reads as zeros and takes no memory."""

    __slots__ = ("data", "size")

    def __init__(self, data: bytes | bytearray = b"", size: int = 0) -> None:
        self.data = bytearray(data)
        self.size = size

    def read(self, offset: int, length: int) -> bytes:
        end = min(offset + length, self.size)
        found = bytes(self.data[offset:end])
        return found + bytes(max(0, end - offset - len(found)))

    def write(self, offset: int, data: bytes) -> None:
        if offset > len(self.data):
            self.data.extend(bytes(offset - len(self.data)))
        self.data[offset : offset + len(data)] = data
        self.size = max(self.size, offset + len(data))


@message
class _Write:
    offset: int
    data: bytes

    def apply(self, content: _Content) -> None:
        content.write(self.offset, self.data)

    def survivors(self, chance: Random) -> "list[_Change]":
        """What is left of this write: all, nothing, or some of its pieces."""
        fate = chance.randrange(3)
        if fate < 2:
            return [self] if fate else []
        first, end = self.offset // SECTOR_BYTES + 1, -(-(self.offset + len(self.data)) // SECTOR_BYTES)
        count = min(chance.randint(1, PIECES_MAX - 1), max(0, end - first))
        sectors = sorted(chance.sample(range(first, end), count))
        borders = [sector * SECTOR_BYTES - self.offset for sector in sectors]
        pieces = zip([0, *borders], [*borders, len(self.data)], strict=True)
        return [
            _Write(self.offset + start, self.data[start:end])
            for start, end in pieces
            if start < end and chance.random() < 0.5
        ]


@message
class _Cut:
    size: int

    def apply(self, content: _Content) -> None:
        del content.data[self.size :]
        content.size = self.size

    def survivors(self, chance: Random) -> "list[_Change]":
        return [self] if chance.random() < 0.5 else []


@message
class _Room:
    size: int

    def apply(self, content: _Content) -> None:
        content.size = max(content.size, self.size)

    def survivors(self, chance: Random) -> "list[_Change]":
        return [self] if chance.random() < 0.5 else []


_Change = _Write | _Cut | _Room


@dataclass(slots=True, eq=False)
class _Inode:
    """A file's content without its name: as readers see it, as it is durable, and what lies between."""

    visible: _Content = field(default_factory=_Content)
    durable: _Content = field(default_factory=_Content)
    pending: list[_Change] = field(default_factory=list)

    def change(self, change: _Change) -> None:
        change.apply(self.visible)
        pending = self.pending
        if len(pending) > 1 and _same_place(change, pending[-1]) and _same_place(change, pending[-2]):
            pending.pop()  # a note that is written again and again: the first and the last stand for all
        pending.append(change)

    def sync(self) -> None:
        for change in self.pending:
            change.apply(self.durable)
        self.pending.clear()

    def crash(self, chance: Random | None) -> None:
        if chance is not None:
            for change in self.pending:
                for survivor in change.survivors(chance):
                    survivor.apply(self.durable)
        self.pending.clear()
        self.visible = _Content(self.durable.data, self.durable.size)

    def copy(self) -> "_Inode":
        visible = _Content(self.visible.data, self.visible.size)
        return _Inode(visible, _Content(self.durable.data, self.durable.size), list(self.pending))


def _same_place(change: _Change, other: _Change) -> bool:
    return (
        type(change) is type(other) is _Write
        and change.offset == other.offset
        and len(change.data) == len(other.data) <= SECTOR_BYTES
    )


@message
class _NameChange:
    """A name given (old is None), taken away (new is None), or changed."""

    old: str | None
    new: str | None
    inode: _Inode

    @property
    def folder(self) -> str:
        name = self.new if self.new is not None else self.old
        assert name is not None, "a change of no name"
        return name.rpartition("/")[0]

    def apply(self, names: dict[str, _Inode]) -> None:
        if self.old is not None and names.get(self.old) is self.inode:
            del names[self.old]
        if self.new is not None:
            names[self.new] = self.inode
