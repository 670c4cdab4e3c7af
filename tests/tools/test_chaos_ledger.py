"""The check of what writers were promised goes red for each way of breaking a promise."""

import pytest

from tools.chaos.writers import PARENT, Ledger, check

OWN = f"{PARENT}/w"


@pytest.fixture
def ledger() -> Ledger:
    """Two creations acknowledged, one unknown; three sets acknowledged, one unknown."""
    return Ledger(
        "w",
        created={f"{OWN}/000001-": f"{OWN}/000001-0000000000", f"{OWN}/000002-": f"{OWN}/000002-0000000001"},
        unknown=[f"{OWN}/000003-"],
        sets_done=3,
        sets_unknown=1,
    )


KEPT = ["000001-0000000000", "000002-0000000001"]


@pytest.mark.parametrize(("names", "version"), [(KEPT, 3), (KEPT, 4), ([*KEPT, "000003-0000000002"], 3)])
def test_kept_promises_pass(ledger: Ledger, names: list[str], version: int) -> None:
    check(ledger, names, version)


@pytest.mark.parametrize(
    ("names", "version"),
    [
        (KEPT[:1], 3),
        ([*KEPT, "000001-0000000002"], 3),
        ([KEPT[0], "000002-0000000007"], 3),
        ([*KEPT, "000003-0000000002", "000003-0000000003"], 3),
        ([*KEPT, "000009-0000000002"], 3),
        (KEPT, 2),
        (KEPT, 5),
    ],
    ids=["lost", "twice", "another", "unknown twice", "unasked", "set lost", "set twice"],
)
def test_broken_promises_are_found(ledger: Ledger, names: list[str], version: int) -> None:
    with pytest.raises(AssertionError):
        check(ledger, names, version)
