"""Locks, elections, queues and the like, made of nothing but what `import coord` offers.

What is offered here is loaded when it is first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the same once more, for those who read types; tests/recipes/test_recipes_names.py compares the two
    from recipes.barrier import Barrier as Barrier
    from recipes.barrier import DoubleBarrier as DoubleBarrier
    from recipes.barrier import Party as Party
    from recipes.election import Election as Election
    from recipes.election import Leader as Leader
    from recipes.election import Term as Term
    from recipes.errors import LockLost as LockLost
    from recipes.errors import MemberDied as MemberDied
    from recipes.errors import MisuseError as MisuseError
    from recipes.errors import RecipeError as RecipeError
    from recipes.holding import Held as Held
    from recipes.lease import HeldLease as HeldLease
    from recipes.lease import Lease as Lease
    from recipes.lock import Lock as Lock
    from recipes.read_write_lock import HeldToWrite as HeldToWrite
    from recipes.read_write_lock import ReadWriteLock as ReadWriteLock
    from recipes.semaphore import Semaphore as Semaphore

_HOMES = {
    # locks, elections, barriers
    "recipes.barrier": ("Barrier", "DoubleBarrier", "Party"),
    "recipes.election": ("Election", "Leader", "Term"),
    "recipes.errors": ("LockLost", "MemberDied", "MisuseError", "RecipeError"),
    "recipes.holding": ("Held",),
    "recipes.lease": ("HeldLease", "Lease"),
    "recipes.lock": ("Lock",),
    "recipes.read_write_lock": ("HeldToWrite", "ReadWriteLock"),
    "recipes.semaphore": ("Semaphore",),
    # data and work
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = list(_HOME_OF)


def __getattr__(name: str) -> object:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'recipes' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(home), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
