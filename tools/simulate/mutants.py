"""Deliberate defects of the real code. Each must be noticed within a stated number of seeds, or the checkers are blind.

The defects are functions of broken_broadcast.py and broken_service.py that change the code of this process through a
`Patch`; here stands which checker has to notice each. Where another one always comes first, that one can be switched
off for the mutant (`without`), so that it is known what the second one sees by itself.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager

from coord.model.message import message
from tools.simulate import broken_broadcast as broadcast
from tools.simulate import broken_service as service
from tools.simulate import invariants
from tools.simulate.patch import Patch
from tools.simulate.runs import tell


@message
class Mutant:
    apply: Callable[[Patch], None]
    seeds: int  # within which it must be found
    by: tuple[str, ...]  # who has to find it: one of these
    without: tuple[str, ...] = ()  # whose checks are switched off
    lately: int = 0  # the seed that found it when somebody last looked: told first, to spare those that do not show it

    @property
    def name(self) -> str:
        return self.apply.__name__

    @property
    def title(self) -> str:
        return f"{self.name} (without {', '.join(self.without)})" if self.without else self.name


@contextmanager
def mutated(mutant: Mutant) -> Iterator[None]:
    patch = Patch()
    mutant.apply(patch)
    for checker in mutant.without:
        SWITCHED_OFF[checker](patch)
    try:
        yield
    finally:
        patch.undo()


def hunt(mutant: Mutant, first_seed: int = 0) -> Iterator[str]:
    """Which checker noticed it, seed after seed; empty where none did."""
    with mutated(mutant):
        for seed in range(first_seed, first_seed + mutant.seeds):
            yield tell(seed).checker


def found(number: int) -> bool:
    """Whether one of those who have to notice this one of MUTANTS did; no more seeds are told then."""
    mutant = MUTANTS[number]
    with mutated(mutant):
        if tell(mutant.lately).checker in mutant.by:
            return True
    return any(checker in mutant.by for checker in hunt(mutant))


def hunt_all(jobs: int) -> dict[str, Counter[str]]:
    """How often which checker noticed which of MUTANTS, by title."""
    with ProcessPoolExecutor(jobs) as pool:
        return dict(zip([mutant.title for mutant in MUTANTS], pool.map(_count, range(len(MUTANTS))), strict=True))


def _count(number: int) -> Counter[str]:
    return Counter(hunt(MUTANTS[number]))


def table(counts: dict[str, Counter[str]]) -> str:
    """Mutants down, checkers across, in how many seeds each noticed each; in brackets who has to."""
    by = {mutant.title: mutant.by for mutant in MUTANTS}
    checkers = sorted({checker for row in counts.values() for checker in row if checker})
    width = max(map(len, counts))
    lines = [" " * width + "".join(f"{checker[:6]:>7}" for checker in checkers) + "  unnoticed"]
    for title, row in counts.items():
        shown = [
            f"[{row[checker]}]" if checker in by.get(title, ()) else f"{row[checker] or '.'} " for checker in checkers
        ]
        lines.append(f"{title:<{width}}{''.join(f'{cell:>7}' for cell in shown)}  {row['']} of {row.total()}")
    return "\n".join(lines)


def blind(counts: dict[str, Counter[str]]) -> list[str]:
    """Who did not notice what it had to."""
    return [
        f"{mutant.title}: {' or '.join(mutant.by)} did not notice"
        for mutant in MUTANTS
        if not any(counts[mutant.title][checker] for checker in mutant.by)
    ]


# ---- switching checkers off


def _without_quorums(patch: Patch) -> None:
    """I3, of what is committed; what a server says of its disk is still checked."""
    patch.attribute(invariants, "_check_quorum_holds", lambda servers, voters, batch: None)


SWITCHED_OFF: dict[str, Callable[[Patch], None]] = {"I3": _without_quorums}

MUTANTS: Sequence[Mutant] = [
    Mutant(broadcast.skip_the_sync_of_the_log, 10, ("I2",)),
    Mutant(broadcast.skip_the_sync_of_a_folder, 40, ("I2",)),
    Mutant(broadcast.skip_the_sync_after_a_cut, 500, ("I2",), lately=91),
    Mutant(broadcast.go_on_after_a_failed_sync, 200, ("I2",), lately=57),
    Mutant(broadcast.trust_what_a_killed_process_left, 400, ("I2",), lately=265),
    Mutant(broadcast.acknowledge_before_durable, 10, ("I3",)),
    Mutant(broadcast.count_oneself_before_durable, 40, ("I3",)),
    Mutant(broadcast.commit_before_ones_own_disk_has_it, 10, ("I3",)),
    Mutant(broadcast.promise_a_commit_before_durable, 10, ("I3",)),
    Mutant(broadcast.tell_more_than_the_disk_holds, 40, ("I7",)),
    Mutant(broadcast.drop_the_promise, 10, ("I3",)),
    Mutant(broadcast.accept_an_old_epoch, 60, ("I1",)),
    Mutant(broadcast.use_an_epoch_twice, 20, ("I11",)),
    Mutant(broadcast.believe_every_promise, 60, ("I3",), lately=9),
    Mutant(broadcast.forget_the_newer_history, 40, ("I9", "I11", "I12", "I3")),
    Mutant(broadcast.lead_with_an_older_history, 100, ("I9",), lately=17),
    Mutant(broadcast.count_an_observer, 40, ("I3", "I11")),
    Mutant(broadcast.count_a_replaced_disk, 60, ("I12", "I3"), lately=3),
    Mutant(broadcast.take_batches_with_a_gap, 10, ("I3",)),
    Mutant(broadcast.take_batches_with_a_gap, 10, ("I12",), ("I3",)),
    Mutant(broadcast.skip_a_zxid, 5, ("I4",)),
    Mutant(broadcast.write_another_batch_than_was_sent, 10, ("I3",)),
    Mutant(broadcast.write_another_batch_than_was_sent, 10, ("I8",), ("I3",)),
    Mutant(broadcast.remember_another_batch_than_is_written, 10, ("I8",)),
    Mutant(broadcast.commit_nothing_of_older_epochs, 40, ("I13p",)),
    Mutant(broadcast.count_a_spare_as_if_it_had_been_sent_everything, 20, ("I3",)),
    Mutant(broadcast.tell_a_spare_of_commits_that_it_was_not_sent, 20, ("L5",)),
    Mutant(broadcast.never_send_what_is_held_back, 10, ("L5",)),
    Mutant(broadcast.send_what_is_held_back_with_the_next_batch_only, 10, ("L5",)),
    Mutant(broadcast.send_the_newest_first_of_what_was_held_back, 20, ("L5",)),
    Mutant(broadcast.spare_so_many_that_no_quorum_is_left, 10, ("L5",)),
    Mutant(broadcast.rely_on_whoever_follows, 60, ("L5",)),
    Mutant(broadcast.take_rot_for_a_torn_write, 60, ("I2",), lately=16),
    Mutant(broadcast.forget_what_was_lost, 60, ("I7",)),
    Mutant(broadcast.lead_with_a_damaged_log, 60, ("I7",)),
    Mutant(service.apply_before_commit, 10, ("I3",)),
    Mutant(service.apply_what_is_not_committed, 10, ("I6",)),
    Mutant(service.apply_by_ones_own_clock, 5, ("I10",)),
    Mutant(service.forget_in_a_snapshot_who_forwarded_what, 20, ("I10",)),
    Mutant(service.forget_an_ephemeral, 10, ("I16",)),
    Mutant(service.resend_without_deduplication, 20, ("I12",)),
    Mutant(service.let_a_session_expire_early, 30, ("I17",)),
    Mutant(service.ignore_the_last_zxid_seen, 60, ("I15",)),
    Mutant(service.answer_a_sync_from_the_own_state, 20, ("I14",)),
    Mutant(service.answer_a_sync_by_what_the_leader_has_committed, 40, ("I14",), lately=33),
    Mutant(service.apply_a_write_and_tell_of_another, 10, ("I18",)),
    Mutant(service.swap_two_writes_of_a_session, 10, ("I13",)),
    Mutant(service.let_a_read_overtake_its_sessions_write, 10, ("I13",)),
    Mutant(service.forget_a_watch, 10, ("I19",)),
    Mutant(service.deliver_an_event_late, 10, ("I19",)),
    Mutant(service.tell_a_wrong_zxid_with_an_event, 10, ("I20",)),
    Mutant(service.tell_of_an_event_twice, 10, ("I21",)),
    Mutant(service.follow_without_hearing_of_commits, 10, ("L1",)),
    Mutant(service.never_answer_a_sync, 30, ("L3",)),
    Mutant(service.never_invite_a_latecomer, 10, ("L1", "L2")),
    Mutant(service.elect_nobody_twice, 20, ("L2",)),
    Mutant(service.say_that_is_all_with_every_message, 10, ("L4",)),
]
"""Each with the number of seeds, from 0 on, within which it must be found."""
