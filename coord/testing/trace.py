"""What happened, as one number: two runs with equal traces did the same at the same times.

Every piece that is sent and every fault goes in, with its virtual time counted from the trace's beginning. The trace
is for comparing, not for reading.
"""

import struct
from hashlib import blake2b

import trio

_SENT = struct.Struct("!dqq")


class Trace:
    """A running hash of events."""

    def __init__(self) -> None:
        self._hash = blake2b(digest_size=16)
        self._began_s = trio.current_time()
        self.events = 0

    def __repr__(self) -> str:
        return f"<Trace {self} of {self.events} events>"

    def __str__(self) -> str:
        return self._hash.hexdigest()

    def sent(self, way: int, data: bytes) -> None:
        """These bytes left on the connection's direction `way`."""
        self.events += 1
        self._hash.update(_SENT.pack(trio.current_time() - self._began_s, way, len(data)))
        self._hash.update(data)

    def note(self, sentence: str) -> None:
        """Something else happened, such as a fault."""
        self.sent(0, sentence.encode())
