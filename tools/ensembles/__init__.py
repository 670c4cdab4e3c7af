"""Ensembles of real server processes, coord's, ZooKeeper's and etcd's, started, broken and stopped the same way."""

from tools.ensembles.coord import CoordSoftware
from tools.ensembles.etcd import EtcdSoftware
from tools.ensembles.processes import Ensemble, EnsembleError, Member, Software
from tools.ensembles.zookeeper import ZooKeeperSoftware

__all__ = ["CoordSoftware", "Ensemble", "EnsembleError", "EtcdSoftware", "Member", "Software", "ZooKeeperSoftware"]
