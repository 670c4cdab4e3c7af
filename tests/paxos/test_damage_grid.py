"""Protocol-aware recovery over the grid of PAR (Alagappan et al., FAST'18, section 5.1).

Every combination of damage to four committed entries on three servers: what one disk still has comes back, and where no
disk has an entry nobody leads.
"""

from collections.abc import Callable
from itertools import product

import pytest

from coord.codec.batch import encode_batch
from coord.paxos.durable import Durable
from coord.paxos.messages import Promise
from coord.storage import survey
from tests.paxos.damaged_group import DamagedGroup, segment_of, written_disk
from tests.paxos.protocol_group import log_of

SERVERS, ENTRIES = (1, 2, 3), 4
BATCHES = log_of((1, ENTRIES))
ORIGINALS = {server: written_disk(server, BATCHES) for server in SERVERS}
HEADER, BODY = 20, 70
"""Where a record is hit: in what names it, or in what it holds."""

CASES = list(product((False, True), repeat=len(SERVERS) * ENTRIES))
PARTS = 16


def damaged_group(case: tuple[bool, ...], places: tuple[int, ...], up: tuple[int, ...] = SERVERS) -> DamagedGroup:
    disks = {}
    for row, server in enumerate(up):
        original, offsets = ORIGINALS[server]
        disk = disks[server] = original.copy()
        for entry, offset in enumerate(offsets):
            if case[row * ENTRIES + entry]:
                disk.damage(segment_of(disk), offset + places[(row + entry) % len(places)], b"\xee\xee")
    return DamagedGroup(disks)


def is_recoverable(case: tuple[bool, ...]) -> bool:
    """Every entry can be read on one server at least."""
    return all(not all(case[row * ENTRIES + entry] for row in range(len(SERVERS))) for entry in range(ENTRIES))


def test_the_grid_has_as_many_recoverable_cases_as_the_paper_says() -> None:
    assert (len(CASES), sum(map(is_recoverable, CASES))) == (4096, 2401)


@pytest.mark.parametrize("part", range(PARTS))
def test_every_recoverable_combination_of_damage_recovers_and_no_other_is_served(part: int) -> None:
    for number, case in enumerate(CASES[part::PARTS]):
        group = damaged_group(case, ((HEADER,), (BODY,), (HEADER, BODY))[number % 3])
        group.run(20.0 if is_recoverable(case) else 3.0)
        if is_recoverable(case):
            assert group.all_serve, case
            for server, store in group.stores.items():
                kept = store.read_batches(0, 1 << 20)
                assert kept is not None
                assert [batch.encoded for batch in kept] == [encode_batch(batch) for batch in BATCHES], (case, server)
                assert store.ballot.suspect == 0
        else:
            assert not any(participant.serving for participant in group.servers.values()), case
            assert all(store.ballot.accepted == 1 for store in group.stores.values()), case


def goes_wrong(case: tuple[bool, ...]) -> bool:
    """Whether two servers, the third being down, serve without what was committed."""
    group = damaged_group(case, (BODY,), up=SERVERS[:2])
    group.run(1.0)
    return any(
        participant.serving and participant.log.commit < BATCHES[-1].last for participant in group.servers.values()
    )


def forget_what_was_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Durable, "suspect", property(lambda self: 0))
    monkeypatch.setattr(Durable, "claimed", property(lambda self: self.history.durable))
    monkeypatch.setattr(Durable, "whole", property(lambda self: True))


def take_rot_for_a_torn_write(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(survey, "_has_empty_sector", lambda window, start, end: True)
    monkeypatch.setattr(survey, "find_tail", lambda disk: None)


def count_promises_by_what_they_can_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Promise, "claimed", property(lambda self: self.last))
    monkeypatch.setattr(Durable, "whole", property(lambda self: True))


@pytest.mark.parametrize(
    "defect", [forget_what_was_lost, take_rot_for_a_torn_write, count_promises_by_what_they_can_show]
)
def test_a_deliberate_defect_of_the_repair_loses_what_was_committed_in_some_case(
    defect: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    cases = [(*case, *[False] * ENTRIES) for case in product((False, True), repeat=2 * ENTRIES)][17::34]
    assert not any(map(goes_wrong, cases))
    defect(monkeypatch)
    assert any(map(goes_wrong, cases))
