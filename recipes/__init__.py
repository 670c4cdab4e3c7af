"""Locks, elections, queues and the like, made of nothing but what `import coord` offers.

What is offered here is loaded when it is first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the same once more, for those who read types; tests/recipes/test_recipes_names.py compares the two
    from recipes.barrier import Barrier as Barrier
    from recipes.barrier import DoubleBarrier as DoubleBarrier
    from recipes.barrier import Party as Party
    from recipes.config_watch import ConfigWatch as ConfigWatch
    from recipes.counter import Counter as Counter
    from recipes.election import Election as Election
    from recipes.election import Leader as Leader
    from recipes.election import Term as Term
    from recipes.errors import LockLost as LockLost
    from recipes.errors import MemberDied as MemberDied
    from recipes.errors import MisuseError as MisuseError
    from recipes.errors import RecipeError as RecipeError
    from recipes.group import Group as Group
    from recipes.group import Member as Member
    from recipes.group import Members as Members
    from recipes.group import Membership as Membership
    from recipes.holding import Held as Held
    from recipes.items import QueueEmpty as QueueEmpty
    from recipes.items import QueueFull as QueueFull
    from recipes.key_value_map import KeyValueMap as KeyValueMap
    from recipes.lease import HeldLease as HeldLease
    from recipes.lease import Lease as Lease
    from recipes.lock import Lock as Lock
    from recipes.partitioner import Owned as Owned
    from recipes.partitioner import Partitioner as Partitioner
    from recipes.periodic_job import PeriodicJob as PeriodicJob
    from recipes.periodic_job import Record as Record
    from recipes.periodic_job import Run as Run
    from recipes.queue import PriorityQueue as PriorityQueue
    from recipes.queue import Queue as Queue
    from recipes.read_write_lock import HeldToWrite as HeldToWrite
    from recipes.read_write_lock import ReadWriteLock as ReadWriteLock
    from recipes.semaphore import Semaphore as Semaphore
    from recipes.service_registry import Endpoint as Endpoint
    from recipes.service_registry import Registration as Registration
    from recipes.service_registry import Resolver as Resolver
    from recipes.service_registry import ServiceRegistry as ServiceRegistry
    from recipes.task_queue import Task as Task
    from recipes.task_queue import TaskQueue as TaskQueue
    from recipes.tree_cache import CachedNode as CachedNode
    from recipes.tree_cache import TreeCache as TreeCache

_HOMES = {
    # locks, elections, barriers
    "recipes.barrier": ("Barrier", "DoubleBarrier", "Party"),
    "recipes.election": ("Election", "Leader", "Term"),
    "recipes.errors": ("LockLost", "MemberDied", "MisuseError", "RecipeError"),
    "recipes.holding": ("Held",),
    "recipes.lease": ("HeldLease", "Lease"),
    "recipes.lock": ("Lock",),
    "recipes.read_write_lock": ("HeldToWrite", "ReadWriteLock"),
    "recipes.semaphore": ("Semaphore",),
    # data and work
    "recipes.config_watch": ("ConfigWatch",),
    "recipes.counter": ("Counter",),
    "recipes.group": ("Group", "Member", "Members", "Membership"),
    "recipes.items": ("QueueEmpty", "QueueFull"),
    "recipes.key_value_map": ("KeyValueMap",),
    "recipes.partitioner": ("Owned", "Partitioner"),
    "recipes.periodic_job": ("PeriodicJob", "Record", "Run"),
    "recipes.queue": ("PriorityQueue", "Queue"),
    "recipes.service_registry": ("Endpoint", "Registration", "Resolver", "ServiceRegistry"),
    "recipes.task_queue": ("Task", "TaskQueue"),
    "recipes.tree_cache": ("CachedNode", "TreeCache"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = list(_HOME_OF)


def __getattr__(name: str) -> object:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'recipes' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(home), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
