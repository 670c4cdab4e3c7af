import pytest

from tests.client.session_pair import Pair


@pytest.fixture
def pair() -> Pair:
    """Connected."""
    made = Pair()
    made.connect()
    return made
