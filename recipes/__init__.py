"""Locks, elections, queues and the like, made of nothing but what `import coord` offers.

What is offered here is loaded when it is first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the same once more, for those who read types; tests/recipes/test_recipes_names.py compares the two
    from recipes.errors import LockLost as LockLost
    from recipes.errors import MisuseError as MisuseError
    from recipes.errors import RecipeError as RecipeError
    from recipes.holding import Held as Held
    from recipes.lock import Lock as Lock

_HOMES = {
    # locks, elections, barriers
    "recipes.errors": ("LockLost", "MisuseError", "RecipeError"),
    "recipes.holding": ("Held",),
    "recipes.lock": ("Lock",),
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
