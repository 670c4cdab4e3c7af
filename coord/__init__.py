"""A coordination service: a replicated tree of znodes that today's ZooKeeper clients can use.

What is offered here is loaded when it is first asked for, so that `coord --version` and a foreign import stay quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from coord.version import __version__ as __version__

if TYPE_CHECKING:  # the same once more, for those who read types; tests/test_public_names.py compares the two
    from coord.client.blocking import BlockingClient as BlockingClient
    from coord.client.blocking import connect_blocking as connect_blocking
    from coord.client.calls import SessionState as SessionState
    from coord.client.client import Client as Client
    from coord.client.client import ConnectedServer as ConnectedServer
    from coord.client.connecting import connect as connect
    from coord.client.events import Cause as Cause
    from coord.client.events import Event as Event
    from coord.client.events import EventKind as EventKind
    from coord.client.operations import Child as Child
    from coord.client.operations import Page as Page
    from coord.client.pipeline import Outcome as Outcome
    from coord.client.pipeline import Pipeline as Pipeline
    from coord.client.quotas import Quota as Quota
    from coord.client.quotas import Usage as Usage
    from coord.client.saved import SavedSession as SavedSession
    from coord.client.sessions import ClientSession as ClientSession
    from coord.client.transaction import Guard as Guard
    from coord.client.transaction import SentTransaction as SentTransaction
    from coord.client.transaction import Transaction as Transaction
    from coord.client.watching import Watch as Watch
    from coord.embedding import embedded as embedded
    from coord.embedding import embedded_blocking as embedded_blocking
    from coord.model.acl import OPEN_ACL as OPEN_ACL
    from coord.model.acl import READ_ONLY_ACL as READ_ONLY_ACL
    from coord.model.acl import Permission as Permission
    from coord.model.errors import AddressError as AddressError
    from coord.model.errors import AuthFailedError as AuthFailedError
    from coord.model.errors import BadArgumentsError as BadArgumentsError
    from coord.model.errors import BadVersionError as BadVersionError
    from coord.model.errors import CallTimeoutError as CallTimeoutError
    from coord.model.errors import ClientClosedError as ClientClosedError
    from coord.model.errors import ConnectError as ConnectError
    from coord.model.errors import CoordError as CoordError
    from coord.model.errors import ForkedError as ForkedError
    from coord.model.errors import InvalidAclError as InvalidAclError
    from coord.model.errors import NoAuthError as NoAuthError
    from coord.model.errors import NoChildrenForEphemeralsError as NoChildrenForEphemeralsError
    from coord.model.errors import NodeExistsError as NodeExistsError
    from coord.model.errors import NoNodeError as NoNodeError
    from coord.model.errors import NotEmptyError as NotEmptyError
    from coord.model.errors import QuotaExceededError as QuotaExceededError
    from coord.model.errors import RequestTooLargeError as RequestTooLargeError
    from coord.model.errors import SessionLostError as SessionLostError
    from coord.model.errors import TooLargeError as TooLargeError
    from coord.model.errors import WatchWindowLostError as WatchWindowLostError
    from coord.model.stat import Stat as Stat

_HOMES = {
    "coord.client.blocking": ("BlockingClient", "connect_blocking"),
    "coord.client.client": ("Client", "ConnectedServer"),
    "coord.client.connecting": ("connect",),
    "coord.client.events": ("Cause", "Event", "EventKind"),
    "coord.client.operations": ("Child", "Page"),
    "coord.client.pipeline": ("Outcome", "Pipeline"),
    "coord.client.quotas": ("Quota", "Usage"),
    "coord.client.calls": ("SessionState",),
    "coord.client.saved": ("SavedSession",),
    "coord.client.sessions": ("ClientSession",),
    "coord.client.transaction": ("Guard", "SentTransaction", "Transaction"),
    "coord.client.watching": ("Watch",),
    "coord.embedding": ("embedded", "embedded_blocking"),
    "coord.model.acl": ("OPEN_ACL", "READ_ONLY_ACL", "Permission"),
    "coord.model.errors": (
        "AddressError", "AuthFailedError", "BadArgumentsError", "BadVersionError", "CallTimeoutError",
        "ClientClosedError", "ConnectError", "CoordError", "ForkedError", "InvalidAclError", "NoAuthError",
        "NoChildrenForEphemeralsError", "NodeExistsError", "NoNodeError", "NotEmptyError", "QuotaExceededError",
        "RequestTooLargeError", "SessionLostError", "TooLargeError", "WatchWindowLostError",
    ),
    "coord.model.stat": ("Stat",),
}  # fmt: skip
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = ["__version__", *_HOME_OF]


def __getattr__(name: str) -> object:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'coord' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(home), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
