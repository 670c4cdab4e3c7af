"""Ages, sizes and moments, as people write them."""

import math
import re
import time
from datetime import UTC, datetime

from coord.shell.errors import UsageError

_AGES = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "": 1.0}
AGE_S_MAX = 1e18
"""Older than the stars: with more digits than that a number is a slip, and at last one that nothing can reckon with."""
_SIZES = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


def wall_ms() -> float:
    """The time of day here. The time of a znode's change is its leader's: they differ as the clocks do."""
    return time.time() * 1000


def age_s(text: str) -> float:
    found = re.fullmatch(r"([0-9.]+)\s*([smhd]?)", text)
    try:
        seconds = float(found[1]) * _AGES[found[2]] if found else math.inf
    except ValueError:
        seconds = math.inf
    return seconds if seconds <= AGE_S_MAX else _refuse(text, "no age", "90s, 15m, 2h or 3d")


def size_bytes(text: str) -> int:
    found = re.fullmatch(r"([0-9]+)\s*([kmg]?)b?", text.lower())
    return int(found[1]) * _SIZES[found[2]] if found else int(_refuse(text, "no size", "500, 64k or 1m"))


def _refuse(text: str, what: str, such_as: str) -> float:
    raise UsageError(f"{text!r} is {what}; write it as {such_as}")


def moment(at_ms: float) -> str:
    """In UTC, to the millisecond, as the servers' logs have it."""
    try:
        return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
    except (ValueError, OverflowError, OSError):  # a time that no calendar has
        return f"{at_ms:.0f} ms"


def duration(seconds: float) -> str:
    """Roughly, for a table: 45 s, 12 min, 5 h, 3 d."""
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def milliseconds(count: float) -> str:
    return f"{count:.1f} ms" if count < 100 else f"{count:.0f} ms"


def size(count: float) -> str:
    """Roughly, for a table: 812 B, 64 kB, 1.2 MB."""
    for unit, length in (("GB", 1 << 30), ("MB", 1 << 20), ("kB", 1 << 10)):
        if count >= length:
            return f"{count / length:.1f} {unit}"
    return f"{count:.0f} B"
