"""A coordination service: a replicated tree of znodes that today's ZooKeeper clients can use.

Nothing else is imported here, so that `coord --version` and a foreign import stay quick.
"""

__version__ = "0.1.0"
