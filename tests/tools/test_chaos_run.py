"""Real servers and real clients under the faults of a seed: every promise is kept, and a broken one is noticed.

Nothing here is about speed: a run waits for its servers and clients as long as it has to, and is then judged.
"""

from pathlib import Path

import pytest

from tools.chaos.__main__ import main, text
from tools.chaos.plan import setup
from tools.chaos.runs import HISTORY, LOG, PAGE, Options, Outcome, Run, recheck
from tools.check.__main__ import BROKEN as HISTORY_BROKEN
from tools.check.__main__ import main as check_again

pytestmark = pytest.mark.long(80)

MUTANT_SERVER = str(Path(__file__).parent / "chaos_mutant.py")
RAW = ("raw", "raw", "raw", "raw")


def perform(options: Options, where: Path) -> Outcome:
    said: list[str] = []
    outcome = Run(options, where, said.append).perform()
    print("\n".join(said), text(outcome), sep="\n")  # pytest shows it if the test fails
    return outcome


def test_every_promise_is_kept_under_a_minute_of_faults(tmp_path):
    options = Options(seed=6, seconds=45)
    outcome = perform(options, tmp_path)
    assert setup(6) == "logs dropped, snapshots taken and sent within seconds"
    assert outcome.broken == []
    assert outcome.undecided == []
    assert outcome.rounds > 0
    assert outcome.acknowledged >= outcome.rounds * len(options.clients)  # one of each client after each round
    assert outcome.batches > 0


@pytest.mark.parametrize(
    ("mutant", "seconds", "fault", "checks"),
    [
        ("acknowledge_before_commit", 1, "isolate_the_leader", {"once", "witness"}),
        ("deliver_an_event_late", 1, "reset_links_of_clients", {"watch", "session"}),
    ],
)
def test_a_deliberate_defect_of_the_servers_is_noticed(tmp_path, mutant, seconds, fault, checks):
    """Some client of the leader that is cut off in this seed's first round has to write before it steps down."""
    for attempt in range(6):
        where = tmp_path / str(attempt)
        where.mkdir()
        options = Options(seed=43, seconds=seconds, faults=(fault,), clients=RAW, entry=(MUTANT_SERVER, mutant))
        outcome = perform(options, where)
        found = {sentence.partition(":")[0] for sentence in outcome.broken}
        if found & checks:
            break
    assert found & checks, outcome.broken
    assert (where / PAGE).exists()
    again = recheck(where, (where / LOG).exists()).split()[3:]
    assert again[0] == str(where / HISTORY)
    assert check_again(again) == HISTORY_BROKEN


def test_the_command_lists_its_faults(capsys):
    assert main(["--list"]) == 0
    assert "kill_the_leader" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["--faults", "earthquake"], ["--clients", "telnet=2"], ["--clients", "raw=few"]])
def test_the_command_refuses_what_it_does_not_know(arguments, capsys):
    with pytest.raises(SystemExit):
        main(arguments)
    assert arguments[1].partition("=")[0] in capsys.readouterr().err
