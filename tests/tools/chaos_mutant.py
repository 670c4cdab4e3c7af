"""`python chaos_mutant.py MUTANT serve ...`: a coord server with a deliberate defect."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from coord.cli.main import main
from coord.paxos.quorum import Majority
from tools.simulate.mutants import MUTANTS, Patch


def acknowledge_before_commit(patch: Patch) -> None:
    """What one server has on its disk counts as committed."""
    patch.attribute(Majority, "reached", lambda self, positions: max(positions.values(), default=0))


OURS = {acknowledge_before_commit.__name__: acknowledge_before_commit}
THEIRS = {mutant.name: mutant.apply for mutant in MUTANTS}

if __name__ == "__main__":
    {**THEIRS, **OURS}[sys.argv[1]](Patch())
    raise SystemExit(main(sys.argv[2:]))
