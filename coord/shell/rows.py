"""A line of text, as the rows that it takes on a terminal. Colours take no room."""

import re
from collections.abc import Iterator

from rich.cells import get_character_cell_size

_COLOUR = re.compile(r"(\x1b\[[0-9;]*m)")
_TAB = 8


def rows_of(line: str, columns: int) -> Iterator[str]:
    """In pieces, of which each but the last fills a row; together they are the line. An empty line is one row."""
    piece: list[str] = []
    filled = 0
    for token in _COLOUR.split(line):
        if token.startswith("\x1b"):
            piece.append(token)
            continue
        at = 0
        while at < len(token):
            end, filled = _fill(token, at, columns, filled)
            if end == at and not filled:  # one letter that is wider than the terminal
                end, filled = at + 1, columns
            piece.append(token[at:end])
            at = end
            if at < len(token):
                yield "".join(piece)
                piece, filled = [], 0
    yield "".join(piece)


def _fill(token: str, at: int, columns: int, filled: int) -> tuple[int, int]:
    """How far the letters from `at` on go in this row, and how much of it is filled then."""
    some = token[at : at + columns - filled]
    if some.isascii() and some.isprintable():
        return at + len(some), filled + len(some)
    for index, letter in enumerate(some, at):
        cells = _TAB - filled % _TAB if letter == "\t" else get_character_cell_size(letter)
        if filled + cells > columns:
            return index, filled
        filled += cells
    return at + len(some), filled
