"""The rows of throughput and latency. Pure."""

from dataclasses import dataclass
from typing import Self

from tools.bench.loads import OPERATIONS


@dataclass(slots=True, frozen=True)
class Row:
    """An operation, how many connections, how many requests are in flight on each, and how long a value is."""

    operation: str
    connections: int
    window: int
    value_bytes: int = 100

    def __str__(self) -> str:
        return f"{self.operation} {self.connections} x {self.window} of {self.value_bytes} B"

    @classmethod
    def parse(cls, text: str) -> Self:
        """`set:10x100` or `set:10x100:1024`. Raises ValueError."""
        operation, shape, *value_bytes = text.split(":")
        connections, window = shape.split("x")
        counts = [int(connections), int(window), *map(int, value_bytes)]
        if operation not in OPERATIONS or min(counts) < 1 or len(counts) > 3:
            raise ValueError(f"{text!r} names no row")
        return cls(operation, *counts)


ROWS = (
    Row("set", 10, 100),
    Row("set", 100, 100),
    Row("create", 10, 100),
    Row("get", 10, 100),
    Row("mix", 30, 100, 1024),
    Row("set", 100, 1),
    Row("set", 1, 1),
    Row("get", 1, 1),
    Row("multi", 10, 20),
)
"""The issue's."""

LIMIT_ROWS = (ROWS[0], ROWS[1], ROWS[2], ROWS[3], ROWS[5], ROWS[6])
"""Those that the bare skeleton (limit/) knows, too."""

SMALL_ROWS = (Row("set", 1, 1), Row("get", 1, 1))
"""Beside long values."""

SLOW_FOLLOWER_ROW = Row("set", 10, 100, 1024)
"""Of so many bytes that whoever keeps everything for a follower that takes nothing shows it."""

SLOW_DISK_ROWS = (Row("set", 10, 100), Row("set", 1, 1))
