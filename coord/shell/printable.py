"""Bytes as people read them: as text if that does nothing to a terminal, else in hexadecimal."""

import re
import unicodedata

from rich.text import Text

HEX_BYTES_MAX = 4 << 10
"""So much of a binary value is shown; `get --raw` and `get --out` give all of it."""

OTHER_TEXT = frozenset("\n\t\r")
_HARMFUL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def as_text(data: bytes) -> str | None:
    """The text that a value is; None if it is none, or one that would do things to a terminal."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    if text.isprintable():
        return text
    return None if any(unicodedata.category(each) == "Cc" and each not in OTHER_TEXT for each in text) else text


def hexadecimal(data: bytes, columns: int) -> Text:
    """Offset, bytes, and the letters among them: 16, 8 or 4 a line."""
    step = 16 if columns >= 76 else 8 if columns >= 44 else 4
    lines = []
    for start in range(0, min(len(data), HEX_BYTES_MAX), step):
        part = data[start : start + step]
        letters = "".join(chr(each) if 32 <= each < 127 else "." for each in part)
        lines.append(f"{start:08x}  {part.hex(' '):<{3 * step}} {letters}")
    if len(data) > HEX_BYTES_MAX:
        lines.append(f"... {len(data) - HEX_BYTES_MAX} bytes more; get --raw or get --out FILE gives them all")
    return Text("\n".join(lines))


def safe(text: str) -> str:
    """A text of one line that does nothing to a terminal: what does is written as Python writes it."""
    return (
        text
        if text.isprintable()
        else "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
    )


def harmless(text: str) -> str:
    """Any text, as long as it was: what moves the cursor or turns the order of letters has become a mark."""
    return _HARMFUL.sub("\ufffd", text) if _HARMFUL.search(text) else text
