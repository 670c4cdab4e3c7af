"""What holds for all tests, and the order in which several processes take their files."""

import pytest
from hypothesis import settings

settings.register_profile("no_deadline", deadline=None)  # a busy machine is no failure
settings.load_profile("no_deadline")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Long files first where processes share them: none is left alone with one at the end."""
    if hasattr(config, "workerinput"):  # this is one of several processes
        items.sort(key=lambda item: item.get_closest_marker("long") is None)
