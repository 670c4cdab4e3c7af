"""The state on its way out: a walk over a machine that goes on changing, at exactly the zxid where it began.

Copy on write: the walk notes the paths at its beginning; a znode that is changed before the walk gets to it has its
old image saved first (by the tree), a znode made later carries the walk's generation and is left out. So the chunks
show one moment, whatever happens between them.

A chunk is four bytes of crc and one CBOR array whose first element tells its kind: HEADER once, SESSIONS and ZNODES as
many as it takes, END with the crc of all before. Znodes come in the tree's order, so parents before children.

ZNODES holds the ACLs that are not open (they count from 1), the paths, the data, and a column for each of NUMBERS: all
the same as in another column, zeros only, packed by one of WIDTHS, or else a list. With columns C code does most of the
work, on the way out and on the way in: it takes two thirds of the time that rows would take.
"""

import struct
from collections import deque
from collections.abc import Sequence
from typing import Final, TypeAlias
from zlib import crc32

import cbor2

from coord.model.acl import OPEN_ACL, Acl
from coord.state.kept import Kept, plain_of
from coord.state.sessions import Session
from coord.state.tree import Tree
from coord.state.znode import Image, image_of

FORMAT: Final = "coord state 3"
HEADER, SESSIONS, ZNODES, END = range(4)
CHUNK_BYTES: Final = 256 * 1024  # about: a znode is never cut in two
NUMBERS: Final = (
    "acl", "czxid", "mzxid", "pzxid", "ctime", "mtime", "version", "creations", "aversion", "ephemeral_owner",
    "lifetime_ms",
)  # fmt: skip
"""The columns of a ZNODES chunk after paths and data, in their order."""
SAME_AS: Final = {"mzxid": "czxid", "pzxid": "czxid", "mtime": "ctime"}
"""Of these columns None says that all are as in that other one: so it is with znodes that were never written again."""
WIDTHS: Final = {"b": 1 << 7, "i": 1 << 31, "q": 1 << 63}
"""How a column is packed, by its first byte: by which `struct` format, for numbers of what size."""
_SESSION_COSTS_BYTES: Final = 64


class Walk:
    """Takes the state at `zxid`, chunk by chunk. There is at most one at a time."""

    __slots__ = ("_crc", "_ended", "_header", "_paths", "_sessions", "_tree", "zxid")

    def __init__(self, tree: Tree, zxid: int, header: list[object]) -> None:
        assert tree.saved is None, "a walk is under way; finish or cancel it first"
        self.zxid = zxid
        self._tree = tree
        # Those to come, the next one last, so that the list goes with the walk and not at once in the end: 8 bytes a
        # znode, and some 15 ms a million.
        self._paths = list(reversed(tree.nodes))
        self._sessions = deque([_as_it_is(session) for session in tree.sessions.values()])
        self._header: list[object] | None = [
            HEADER, FORMAT, zxid, *header, len(self._paths), len(self._sessions)
        ]  # fmt: skip
        self._crc = 0
        self._ended = False
        tree.generation += 1
        tree.saved = {}

    def next_chunk(self, znodes_max: int = 1000) -> bytes | None:
        """The next part, of at most `znodes_max` znodes; None after the last one."""
        if self._ended:
            return None
        if self._header is not None:
            header, self._header = self._header, None
            return self._seal(header)
        if self._sessions:
            return self._seal([SESSIONS, self._session_rows()])
        if self._paths:
            return self._seal(self._znodes(znodes_max))
        chunk = self._seal([END, self._crc])
        self.cancel()
        return chunk

    def cancel(self) -> None:
        """Stop here, and let the tree forget what it saved. Harmless at the end."""
        if not self._ended:
            self._ended = True
            self._paths = []
            self._tree.saved = None

    def _session_rows(self) -> list[object]:
        """Of the next sessions, each with the replies that are kept for it."""
        rows: list[object] = []
        room = CHUNK_BYTES
        while self._sessions and room > 0:
            row, applied, acked, kept = self._sessions.popleft()
            rows.append([*row, applied, acked, [[zxid, plain_of(reply)] for zxid, reply, _ in kept]])
            room -= _SESSION_COSTS_BYTES + sum([size for _, _, size in kept])
        return rows

    def _znodes(self, znodes_max: int) -> list[object]:
        tree = self._tree
        nodes, saved, generation = tree.nodes, tree.saved, tree.generation
        assert saved is not None, "the walk is under way"
        taken: list[str] = []
        images: list[Image] = []
        room = CHUNK_BYTES
        paths = self._paths
        end = max(0, len(paths) - max(1, znodes_max))
        while len(paths) > end and room > 0:
            path = paths.pop()
            image = saved.pop(path, None) if saved else None
            if image is None:
                znode = nodes[path]
                image = image_of(znode)
                znode.seen = generation
            taken.append(path)
            images.append(image)
            data = image[0]
            room -= 48 + len(path) + (len(data) if data else 0)
        return _by_columns(taken, images)

    def _seal(self, body: list[object]) -> bytes:
        encoded = cbor2.dumps(body)
        chunk = crc32(encoded).to_bytes(4, "big") + encoded
        self._crc = crc32(chunk, self._crc)
        return chunk


def _by_columns(paths: list[str], images: list[Image]) -> list[object]:
    """The body of a ZNODES chunk."""
    data, acls, *numbers = zip(*images, strict=True)
    known: dict[Acl, int] = {OPEN_ACL: 0}
    columns = dict(zip(NUMBERS, ([known.setdefault(acl, len(known)) for acl in acls], *numbers), strict=True))
    packed = [
        None if name in SAME_AS and column == columns[SAME_AS[name]] else _packed(column)
        for name, column in columns.items()
    ]
    return [ZNODES, list(known)[1:], paths, list(data), *packed]


def _packed(column: Sequence[int]) -> object:
    if not any(column):
        return 0
    low, high = min(column), max(column)
    for width, limit in WIDTHS.items():
        if -limit <= low and high < limit:
            return width.encode() + struct.pack(f">{len(column)}{width}", *column)
    return list(column)


_Session: TypeAlias = tuple[tuple[int, bytes, int, int], int, int, tuple[Kept, ...]]
"""(identifier, password, timeout, owner), the last write applied, the last acknowledged, what is kept in between."""


def _as_it_is(session: Session) -> _Session:
    """What must not change while the walk goes on; kept replies never do."""
    row = (session.id, session.password, session.timeout_ms, session.owner)
    ledger = session.ledger
    if ledger is None:
        return row, 0, 0, ()
    return row, ledger.applied, ledger.acked, tuple(ledger.kept)
