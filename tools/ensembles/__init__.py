"""Ensembles of real server processes, coord's and ZooKeeper's, started, broken and stopped the same way."""

from tools.ensembles.coord import CoordSoftware
from tools.ensembles.processes import Ensemble, EnsembleError, Member, Software
from tools.ensembles.zookeeper import ZooKeeperSoftware

__all__ = ["CoordSoftware", "Ensemble", "EnsembleError", "Member", "Software", "ZooKeeperSoftware"]
