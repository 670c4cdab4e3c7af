"""Who may do what: identities, permissions, access control lists as plain values."""

from enum import IntFlag
from typing import TypeAlias

Identity: TypeAlias = tuple[str, str]
"""(scheme, id), such as ("world", "anyone") or ("digest", "ann:base64 of SHA-1")."""

AclEntry: TypeAlias = tuple[int, str, str]
"""(permissions, scheme, id)."""

Acl: TypeAlias = tuple[AclEntry, ...]
"""An access control list; equal lists are equal values and can be shared."""


class Permission(IntFlag):
    """What an ACL entry grants."""

    READ = 1
    WRITE = 2
    CREATE = 4
    DELETE = 8
    ADMIN = 16
    ALL = 31


ANYONE: Identity = ("world", "anyone")
SUPER_SCHEME = "super"
OPEN_ACL: Acl = ((31, "world", "anyone"),)
READ_ONLY_ACL: Acl = ((1, "world", "anyone"),)
