"""How a value is declared: `@message` makes a small slotted class out of its annotated fields.

A message is never changed after it was made. That is a habit, not a guard: a frozen dataclass costs
four times as much to make, and the server makes one for every request.
"""

from dataclasses import dataclass
from typing import TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform()
def message(cls: type[T]) -> type[T]:
    """Give `cls` slots, an initialiser, equality by value and a readable repr."""
    return dataclass(slots=True)(cls)
