"""Free ports on the loopback address.

They are taken from below the range from which the kernel serves outgoing connections, so that a server that
was killed finds its port still free when it comes back. Whoever asks here, in whichever process, keeps what it was
given until its process ends: a server that has not yet begun to listen, or is down, loses its port to no other test.
"""

import fcntl
import os
import random
import socket
import tempfile
from functools import cache
from pathlib import Path

HOST = "127.0.0.1"
_LOWEST, _HIGHEST = 11_000, 31_000
_TRIES = 2_000

_ours: set[int] = set()
"""Of this process, for which the lock below says nothing."""


def free_ports(count: int) -> list[int]:
    """`count` distinct ports nobody listens on now, kept for this process; OSError if there are none."""
    found: list[int] = []
    for _ in range(_TRIES):
        if len(found) == count:
            return found
        port = random.randrange(_LOWEST, _HIGHEST)
        if keep(port):
            found.append(port)
    raise OSError(f"no {count} free ports on {HOST} in {_TRIES} tries between {_LOWEST} and {_HIGHEST}")


def keep(port: int) -> bool:
    """Keep this port for this process; False if somebody listens on it or it was given out before."""
    if port in _ours or not _is_bindable(port):
        return False
    try:
        fcntl.lockf(_lock_file(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except OSError:
        return False
    _ours.add(port)
    return True


def _is_bindable(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


@cache
def _lock_file() -> int:
    """A file whose byte N is locked by who has port N: the kernel lets go when its process ends, however it ends."""
    file = Path(tempfile.gettempdir(), f"coord-ports-{os.getuid()}")
    return os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
