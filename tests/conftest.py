"""What holds for all tests, and the order in which several processes take their files."""

import pytest
from hypothesis import settings

settings.register_profile("no_deadline", deadline=None)  # a busy machine is no failure
settings.load_profile("no_deadline")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The longest files first where processes share them: none is left alone with one at the end."""
    if hasattr(config, "workerinput"):  # this is one of several processes
        items.sort(key=_seconds, reverse=True)


def _seconds(item: pytest.Item) -> float:
    """About how long its file takes; 0 for all that are short."""
    mark = item.get_closest_marker("long")
    return mark.args[0] if mark is not None else 0
