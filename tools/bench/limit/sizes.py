"""How long things are that must be as long as coord's: a write in a batch, and the reply to a request."""

from dataclasses import dataclass

from coord.codec.batch import HEADER_BYTES
from coord.codec.entries import encode_run
from coord.model.acl import OPEN_ACL
from coord.model.entries import Run
from coord.model.requests import Create, SetData, Write
from coord.storage.records import RECORD_BYTES
from tools.bench.loads import load
from tools.wire.jute import Op

__all__ = ["HEADER_BYTES", "RECORD_BYTES", "Sizes"]

_SESSION = _INCARNATION = 0x0123_4567_89AB_CDEF
_SEQUENCE = 1_000_000
_IDENTITIES = (("ip", "127.0.0.1"),)
_OPERATIONS = {"set": Op.SET_DATA, "create": Op.CREATE, "get": Op.GET_DATA}


@dataclass(slots=True)
class Sizes:
    """Of one row."""

    operation: int
    reply_bytes: int  # with its header
    run_head: bytes  # before one connection's writes
    write_bytes: int  # of one write in a run; 0 if the operation is a read

    @classmethod
    def of(cls, operation: str, path_bytes: int, value_bytes: int) -> "Sizes":
        """`operation` on a path of `path_bytes`, or for create on a child of it, with a value of `value_bytes`."""
        path, value = "/" * path_bytes, b"v" * value_bytes
        ring = load(operation, path, value, 1)
        writes: dict[str, Write] = {
            "set": SetData(path, value),
            "create": Create(path + "/" + "0" * 10, value, OPEN_ACL),
        }
        head, write_bytes = b"", 0
        if operation in writes:
            one, two = (encode_run(_run((writes[operation],) * count)) for count in (1, 2))
            write_bytes = len(two) - len(one)
            head = one[:-write_bytes]
            assert write_bytes <= ring.starts[1] - 12, "a write is longer than the request that it is to be cut out of"
        return cls(_OPERATIONS[operation], ring.reply_bytes[0], head, write_bytes)


def _run(requests: tuple[Write, ...]) -> Run:
    return Run(2, _INCARNATION, _SEQUENCE, _SESSION, 0, _IDENTITIES, requests)
