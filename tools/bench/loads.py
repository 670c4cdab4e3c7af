"""What a connection asks for, encoded before the clock starts.

A connection's requests lie in a ring, each frame with its own xid; sending k of them is one slice of bytes.
Only those whose paths must differ, creations, deletions and sets all over a tree, have ten digits patched in before
they leave.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from tools.wire import jute
from tools.wire.jute import STAT, Op

HEADER_BYTES = 4 + jute.REPLY_HEADER.size  # length, xid, zxid, err
GETS_PER_SET = 9  # of the 90 % mix
_DIGITS = 10
SETS_PER_MULTI = 10
_STEP = 7919
"""A prime: sets all over a tree go through its znodes in an order that has nothing to do with their creation's."""
OPERATIONS = ("set", "create", "get", "mix", "multi")


@dataclass(slots=True)
class Ring:
    """Frames 0 .. size - 1, and the same again, so that any run of up to `size` frames is one slice."""

    frames: bytearray
    starts: list[int]  # of each of the 2 * size frames, and the end
    reply_bytes: list[int]  # length of the reply to each, header and length field included, if it succeeds
    digits_at: int | None  # where in each frame the ten digits of its number stand
    among: int = 0  # numbers are drawn from so many, again and again; 0: each number once

    @property
    def size(self) -> int:
        return len(self.reply_bytes)

    def number(self, count: int) -> int:
        """The number that the request after `count` others bears."""
        return count * _STEP % self.among if self.among else count


def ring(
    bodies: Sequence[tuple[int, bytes]], reply_bytes: Sequence[int], size: int, digits_at: int | None = None
) -> Ring:
    """At least `size` frames, a whole number of times `bodies` (operation, body); xids count from 1."""
    rounds = -(-size // len(bodies))
    frames = [jute.request(xid, *body) for xid, body in enumerate(list(bodies) * rounds, 1)] * 2
    starts = [0]
    for each in frames:
        starts.append(starts[-1] + len(each))
    return Ring(bytearray().join(frames), starts, list(reply_bytes) * rounds, digits_at)


def load(operation: str, path: str, value: bytes, window: int) -> Ring:
    """The requests of one connection: on the znode `path`, for create on new children of it, for multi on a few."""
    match operation:
        case "set":
            return ring([_set(path, value)], [_SET_REPLY], window)
        case "get":
            return ring([_get(path)], [_get_reply(value)], window)
        case "mix":
            bodies = [_get(path)] * GETS_PER_SET + [_set(path, value)]
            return ring(bodies, [_get_reply(value)] * GETS_PER_SET + [_SET_REPLY], window)
        case "multi":
            parts = [_set(child, value) for child in multi_paths(path)]
            return ring([(Op.MULTI, jute.multi(*parts))], [_MULTI_REPLY], window)
        case "create":
            child = _child(path)
            body = jute.create(child, value)
            return ring([(Op.CREATE, body)], [HEADER_BYTES + len(jute.string(child))], window, _digits_at(child))
        case "delete":
            child = _child(path)
            return ring([(Op.DELETE, jute.path_and_version(child))], [HEADER_BYTES], window, _digits_at(child))
    raise ValueError(f"there is no load {operation!r}; there are {', '.join(OPERATIONS)} and delete")


def sets_among(path: str, children: int, value: bytes, window: int) -> Ring:
    """Sets of all of the `children` that as many creations below `path` have made, in no order, round and round."""
    child = _child(path)
    made = ring([_set(child, value)], [_SET_REPLY], window, _digits_at(child))
    made.among = children
    return made


def multi_paths(path: str) -> list[str]:
    """The znodes that the load `multi` sets; whoever uses it has to make them."""
    return [f"{path}/m{index}" for index in range(SETS_PER_MULTI)]


_SET_REPLY = HEADER_BYTES + STAT.size
_MULTI_HEADER_BYTES = 9  # operation, end, error
_MULTI_REPLY = HEADER_BYTES + SETS_PER_MULTI * (_MULTI_HEADER_BYTES + STAT.size) + _MULTI_HEADER_BYTES


def _get_reply(value: bytes) -> int:
    return HEADER_BYTES + len(jute.buffer(value)) + STAT.size


def _set(path: str, value: bytes) -> tuple[int, bytes]:
    return Op.SET_DATA, jute.set_data(path, value)


def _get(path: str) -> tuple[int, bytes]:
    return Op.GET_DATA, jute.path_and_watch(path)


def _child(path: str) -> str:
    return f"{path}/{'0' * _DIGITS}"


def _digits_at(child: str) -> int:
    """Frame length, xid, operation and the path's own length (four bytes each) stand before the path."""
    return 16 + len(child) - _DIGITS
