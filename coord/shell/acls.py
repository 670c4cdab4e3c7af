"""Access control lists as people write them: scheme:id:permissions with commas between, permissions of c d r w a."""

from coord.model.acl import Acl, AclEntry, Permission
from coord.shell.errors import UsageError

LETTERS = {
    "c": Permission.CREATE,
    "d": Permission.DELETE,
    "r": Permission.READ,
    "w": Permission.WRITE,
    "a": Permission.ADMIN,
}


def parse_acl(text: str) -> Acl:
    """world:anyone:r,digest:ann:7RJfAeIvrl4zdj6sS2fXrQHDvHM=:cdrwa. Raises UsageError."""
    return tuple([_entry(each.strip()) for each in text.split(",")])


def _entry(text: str) -> AclEntry:
    scheme, first, rest = text.partition(":")
    identifier, second, letters = rest.rpartition(":")
    unknown = [letter for letter in letters if letter not in LETTERS]
    if not first or not second or not letters or unknown:
        raise UsageError(f"{text!r} is no entry of an ACL; write scheme:id:permissions, such as world:anyone:cdrwa")
    permissions = 0
    for letter in letters:
        permissions |= LETTERS[letter]
    return permissions, scheme, identifier


def shown_permissions(permissions: int) -> str:
    return "".join(letter for letter, bit in LETTERS.items() if permissions & bit)


def told_acl(acl: Acl) -> str:
    """For who looks back: a password's hash is left out as ZooKeeper does it, since passwords can be guessed by it."""
    return shown_acl(tuple([(permissions, scheme, _without_hash(scheme, who)) for permissions, scheme, who in acl]))


def _without_hash(scheme: str, identifier: str) -> str:
    return f"{identifier.partition(':')[0]}:x" if scheme == "digest" else identifier


def shown_acl(acl: Acl) -> str:
    """As `parse_acl` reads it."""
    return ",".join(
        f"{scheme}:{identifier}:{shown_permissions(permissions)}" for permissions, scheme, identifier in acl
    )
