"""Changes of the real code, for a while: how a mutant is made of it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Patch:
    """Changes of attributes and table rows, taken back by `undo` in the opposite order."""

    _undo: list[Callable[[], None]] = field(default_factory=list)

    def attribute(self, owner: object, name: str, value: object) -> None:
        old = getattr(owner, name)
        self._undo.append(lambda: setattr(owner, name, old))
        setattr(owner, name, value)

    def row(self, table: dict[Any, Any], key: object, value: object) -> None:
        old = table[key]
        self._undo.append(lambda: table.__setitem__(key, old))
        table[key] = value

    def undo(self) -> None:
        while self._undo:
            self._undo.pop()()
