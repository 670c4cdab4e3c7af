"""A test on Trio and on asyncio, from one function."""

import inspect
from collections.abc import Callable
from typing import Any

import anyio
import pytest

LIMIT_S = 60.0
"""No test takes so long unless it hangs."""


def on_both(test: Callable[..., Any]) -> Callable[..., None]:
    """Makes of a coroutine function two plain tests, one a library."""
    parameters = inspect.signature(test).parameters.values()

    def run(library: str, **fixtures: Any) -> None:
        async def main() -> None:
            with anyio.fail_after(LIMIT_S):
                await test(**fixtures)

        anyio.run(main, backend=library)

    run.__name__, run.__doc__, run.__module__ = test.__name__, test.__doc__, test.__module__
    library = inspect.Parameter("library", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    run.__signature__ = inspect.Signature([library, *parameters])  # type: ignore[attr-defined]
    run.pytestmark = list(getattr(test, "pytestmark", []))  # type: ignore[attr-defined]
    return pytest.mark.parametrize("library", ["trio", "asyncio"])(run)
