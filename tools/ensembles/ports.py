"""Free ports on the loopback address.

They are taken from below the range from which the kernel serves outgoing connections, so that a server that
was killed finds its port still free when it comes back.
"""

import random
import socket

HOST = "127.0.0.1"
_LOWEST, _HIGHEST = 11_000, 31_000
_TRIES = 2_000


def free_ports(count: int) -> list[int]:
    """`count` distinct ports nobody listens on now. They are not reserved: use them soon."""
    found: list[int] = []
    held: list[socket.socket] = []
    try:
        for _ in range(_TRIES):
            if len(found) == count:
                return found
            port = random.randrange(_LOWEST, _HIGHEST)
            probe = socket.socket()
            held.append(probe)  # kept until the end: no port is found twice
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            found.append(port)
    finally:
        for probe in held:
            probe.close()
    raise OSError(f"no {count} free ports on {HOST} in {_TRIES} tries between {_LOWEST} and {_HIGHEST}")
