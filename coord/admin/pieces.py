"""JSON in pieces: what may be long is written so many items at a time, and in between others have their turn."""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
from contextlib import aclosing
from itertools import islice
from typing import Any

import trio

from coord.model.message import message

SENT_BYTES = 8 << 10
"""Each send costs: pieces are gathered up to this."""

ITEMS_A_PIECE = 50
"""Half a millisecond, for those that are costly to make."""


@message
class Many:
    """A long list; its items may be made while it is written."""

    items: Iterable[Any]


@message
class ManyByName:
    """A long object: names and values."""

    pairs: Iterable[tuple[str, Any]]


Document = Mapping[str, Any]
"""What json can write, and the two above as values."""


async def encoded(document: Document) -> AsyncGenerator[bytes, None]:
    opening = "{"
    for name, value in document.items():
        start = f"{opening}{json.dumps(name)}: "
        opening = ", "
        if isinstance(value, Many):
            yield f"{start}[".encode()
            async for piece in _pieces(map(json.dumps, value.items)):
                yield piece
            yield b"]"
        elif isinstance(value, ManyByName):
            yield f"{start}{{".encode()
            async for piece in _pieces(f"{json.dumps(key)}: {json.dumps(each)}" for key, each in value.pairs):
                yield piece
            yield b"}"
        else:
            yield f"{start}{json.dumps(value)}".encode()
    yield b"}\n"


async def gathered(pieces: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    """The same in fewer pieces. Closes what it is given."""
    some, count = [], 0
    async with aclosing(pieces):
        async for piece in pieces:
            some.append(piece)
            count += len(piece)
            if count >= SENT_BYTES:
                yield b"".join(some)
                some, count = [], 0
    if some:
        yield b"".join(some)


async def _pieces(items: Iterable[str]) -> AsyncIterator[bytes]:
    rest = iter(items)
    between = ""
    while piece := list(islice(rest, ITEMS_A_PIECE)):
        yield (between + ", ".join(piece)).encode()
        between = ", "
        await trio.lowlevel.checkpoint()
