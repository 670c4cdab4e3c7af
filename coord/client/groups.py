"""Task groups put whatever leaves them into a group of errors. Ours are an inner matter, so it is taken out again."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def unwrapped() -> Iterator[None]:
    """Around a task group: an error that left it alone comes out as it is, with its own context."""
    try:
        yield
    except BaseExceptionGroup as group:
        if len(group.exceptions) != 1:
            raise
        only = group.exceptions[0]
    else:
        return
    context = only.__context__
    try:
        raise only
    finally:
        only.__context__ = context
        del only, context
