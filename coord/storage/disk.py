"""The door to the disk: files in one folder, and what may be believed of them.

Rules that both disks keep (`FolderDisk` here, `MemoryDisk` in memory.py):
- A file's content is durable after `File.sync`, its name after `sync_folder`. Nothing else is.
- Every error is a StorageFailure that says what was tried, on which file, and what the system answered; the
  exception is `lock`, which is the first thing done at a start and raises StorageRefused.
- A name is "folder/file" or "file". A sub-folder comes into being, durably, with the first file created in it.
- No verb is retried here, and none after a failure.
"""

import fcntl
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from coord.storage.errors import StorageFailure, StorageRefused

LOCK_NAME = "lock"
_BUFFERS_MAX = 1024
"""As many buffers as Linux takes in one pwritev (IOV_MAX)."""


class File(Protocol):
    """An open file. Threads may use different files of one disk at once, and read one file at once."""

    def size(self) -> int: ...

    def read(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes, fewer only where the file ends."""

    def write(self, offset: int, buffers: Sequence[bytes]) -> None:
        """Write all buffers one after the other from `offset` on."""

    def truncate(self, size: int) -> None:
        """Cut off everything from `size` on."""

    def allocate(self, size: int) -> None:
        """Make the file at least `size` long, with room on the disk; what is new reads as zeros."""

    def sync(self) -> None:
        """Make content and length durable."""

    def close(self) -> None: ...


class Disk(Protocol):
    """The files of one server."""

    @property
    def instant(self) -> bool:
        """No operation takes noticeable time, so none is worth a thread."""

    def lock(self) -> None:
        """Take the folder for this process, making it if need be. Raises StorageRefused."""

    def close(self) -> None:
        """Give the folder back."""

    def names(self, folder: str) -> list[str]:
        """What is in a folder ("": the top one), sorted; nothing if there is no such folder."""

    def open(self, name: str, *, create: bool = False) -> File:
        """Open for reading and writing; `create` makes an empty file where there is none."""

    def rename(self, old: str, new: str) -> None:
        """Give a file another name in the same folder, atomically replacing what had it."""

    def remove(self, name: str) -> None: ...

    def sync_folder(self, folder: str) -> None:
        """Make the names in a folder durable."""


class FolderDisk:
    """A real folder. It is this user's alone: 0700, and 0600 for files.

    With `read_only` files can be opened and read, and nothing else: for whoever looks at a folder that may be in use.
    """

    instant = False

    def __init__(self, path: str | Path, *, read_only: bool = False) -> None:
        self._path = Path(path)
        self._read_only = read_only
        self._lock = -1  # descriptor of the lock file, -1 while not locked

    def __repr__(self) -> str:
        return f"<FolderDisk {self._path}{'' if self._lock < 0 else ' locked'}>"

    def lock(self) -> None:
        assert self._lock < 0, f"{self._path} is locked already by this very object"
        assert not self._read_only, f"{self._path} is only read here: a lock is for who writes"
        try:
            self._make_folder()
            lock = os.open(self._path / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise StorageRefused(
                f"the data folder {self._path} cannot be used: {_said(error)}; give this user a folder of its own"
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(lock, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(lock)
            raise StorageRefused(
                f"the data folder {self._path} is in use by the process {holder}; "
                "stop that one, or give this server a folder of its own"
            ) from error
        # Only for the sentence above: the lock itself goes with its process, whatever the file says.
        os.ftruncate(lock, 0)
        os.pwrite(lock, b"%d\n" % os.getpid(), 0)
        self._lock = lock

    def close(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def names(self, folder: str) -> list[str]:
        try:
            return sorted(os.listdir(self._path / folder))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise self._failure("listing", folder, error) from error

    def open(self, name: str, *, create: bool = False) -> "FolderFile":
        path = self._path / name
        try:
            if self._read_only:
                # A pipe in the place of a file would be waited for otherwise, and not even Ctrl-C would end that.
                return FolderFile(os.open(path, os.O_RDONLY | os.O_NONBLOCK), str(path))
            if create and not path.parent.exists():
                path.parent.mkdir(mode=0o700)
                _sync_path(path.parent.parent)
            flags = os.O_RDWR | os.O_CREAT if create else os.O_RDWR
            return FolderFile(os.open(path, flags, 0o600), str(path))
        except OSError as error:
            raise self._failure("creating" if create else "opening", name, error) from error

    def rename(self, old: str, new: str) -> None:
        try:
            os.replace(self._path / old, self._path / new)
        except OSError as error:
            raise self._failure(f"renaming to {new}", old, error) from error

    def remove(self, name: str) -> None:
        try:
            os.unlink(self._path / name)
        except OSError as error:
            raise self._failure("removing", name, error) from error

    def sync_folder(self, folder: str) -> None:
        try:
            _sync_path(self._path / folder)
        except FileNotFoundError:
            pass  # no name was ever given there
        except OSError as error:
            raise self._failure("syncing the folder", folder, error) from error

    def _make_folder(self) -> None:
        """Make the folder, or check that the one that is there is private. An empty one may be adopted."""
        path = self._path
        if not path.exists():
            path.mkdir(mode=0o700, parents=True)
            _sync_path(path.parent)
            return
        if not path.is_dir():
            raise StorageRefused(f"the data folder {path} is not a folder; name another, or move that file away")
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077 == 0:
            return
        if any(path.iterdir()):
            raise StorageRefused(
                f"the data folder {path} is open to other users (mode {mode:04o}), and it holds what clients keep "
                f"secret; close it with: chmod 700 {path}"
            )
        path.chmod(0o700)

    def _failure(self, action: str, name: str, error: OSError) -> StorageFailure:
        return _failure(action, str(self._path / name), error)


class FolderFile:
    """A file of a FolderDisk."""

    __slots__ = ("_descriptor", "_path", "_resized")

    def __init__(self, descriptor: int, path: str) -> None:
        self._descriptor = descriptor
        self._path = path
        # fdatasync promises the length only as far as reading needs it, which not every file system takes to
        # mean a shorter one; after a change of length the next sync is a full one.
        self._resized = False

    def __repr__(self) -> str:
        return f"<FolderFile {self._path}>"

    def size(self) -> int:
        try:
            return os.fstat(self._descriptor).st_size
        except OSError as error:
            raise _failure("looking at", self._path, error) from error

    def read(self, offset: int, length: int) -> bytes:
        try:
            data = os.pread(self._descriptor, length, offset)
            while 0 < len(data) < length:  # Linux reads at most 2 GiB at once
                more = os.pread(self._descriptor, length - len(data), offset + len(data))
                if not more:
                    break
                data += more
            return data
        except OSError as error:
            raise _failure("reading", self._path, error) from error

    def write(self, offset: int, buffers: Sequence[bytes]) -> None:
        try:
            for start in range(0, len(buffers), _BUFFERS_MAX):
                part = buffers[start : start + _BUFFERS_MAX]
                wanted = sum(map(len, part))
                done = os.pwritev(self._descriptor, part, offset)
                if done < wanted:
                    self._write_rest(offset + done, b"".join(part)[done:])
                offset += wanted
        except OSError as error:
            raise _failure("writing", self._path, error) from error

    def truncate(self, size: int) -> None:
        try:
            os.ftruncate(self._descriptor, size)
            self._resized = True
        except OSError as error:
            raise _failure("truncating", self._path, error) from error

    def allocate(self, size: int) -> None:
        try:
            os.posix_fallocate(self._descriptor, 0, size)
            self._resized = True
        except OSError as error:
            raise _failure("making room in", self._path, error) from error

    def sync(self) -> None:
        try:
            if self._resized:
                os.fsync(self._descriptor)
                self._resized = False
            else:
                os.fdatasync(self._descriptor)
        except OSError as error:
            raise _failure("syncing", self._path, error) from error

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _write_rest(self, offset: int, data: bytes) -> None:
        """The system took only a part of a write: it says why when asked for the rest (a full disk), or takes it."""
        view = memoryview(data)
        while view:
            done = os.pwrite(self._descriptor, view, offset)
            offset += done
            view = view[done:]


def _failure(action: str, path: str, error: OSError) -> StorageFailure:
    return StorageFailure(f"{action} {path} failed: {_said(error)}")


def _said(error: OSError) -> str:
    return f"{os.strerror(error.errno)} (errno {error.errno})" if error.errno is not None else str(error)


def _sync_path(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
