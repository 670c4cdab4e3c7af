"""CBOR, cut down to what the house writes: integers, bytes, text, lists, booleans and null.

`load` and `load_sequence` raise CodecError for everything else: for tags (behind which cbor2 would build dates,
regular expressions and more), maps, deep nesting, and for bytes left over. cbor2 allocates as it reads, so a
length or a count that promises more than there is costs nothing.
"""

from collections.abc import Iterator, Mapping
from io import BytesIO
from typing import Any, NoReturn, cast

from cbor2 import CBORDecodeEOF, CBORDecoder, dumps

from coord.codec.errors import CodecError

DEPTH_MAX = 8  # batch, run, requests, multi, its requests, create, ACL, entry


def dump(value: object) -> bytes:
    """The CBOR item of `value`, made of plain things only."""
    return dumps(value)


def load(data: bytes) -> object:
    """The one item that `data` is."""
    # All is read at once: in pieces of the decoder's choice a value of 1 MB takes four times as long.
    decoder = CBORDecoder(
        BytesIO(data),
        read_size=len(data) + 1,
        semantic_decoders=_TAGS,
        object_hook=_refuse_map,
        max_depth=DEPTH_MAX,
    )
    try:
        item = decoder.decode()
    except Exception as error:  # whatever a foreign decoder makes of hostile bytes
        raise CodecError(f"not CBOR as coord writes it: {error}") from error
    try:
        decoder.read(1)
    except CBORDecodeEOF:
        return item
    raise CodecError("bytes follow the end of a CBOR item")


def load_sequence(data: bytes) -> list[object]:
    """The items that stand one after the other in `data`: read as one list, so in one call of C code."""
    return cast(list[object], load(b"".join((b"\x9f", data, b"\xff"))))  # one copy, where `+` makes two


def _refuse_tag(value: object, immutable: bool) -> NoReturn:
    raise CodecError("a CBOR tag, which coord never writes")


def _refuse_map(value: Mapping[object, object], immutable: bool) -> NoReturn:
    raise CodecError("a CBOR map, which coord never writes")


class _EveryTagRefused(Mapping[int, object]):
    """Shown to cbor2 in the place of its table of tags: has an answer for each, always the same."""

    def __getitem__(self, tag: int) -> object:
        return _refuse_tag

    def __contains__(self, tag: object) -> bool:
        return True

    def __iter__(self) -> Iterator[int]:
        return iter(())

    def __len__(self) -> int:
        return 0


_TAGS: Mapping[int, Any] = _EveryTagRefused()
