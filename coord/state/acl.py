"""Access control lists applied: who is allowed what, and what a list may be made of.

ZooKeeper's rules: an entry grants what its permission bits say to whoever its scheme matches, an empty list grants all,
and an identity of the scheme `super` passes everywhere. Schemes: world, digest, ip (address or network, version 4 or
6), and in requests `auth`, which stands for the caller's own authenticated identities.

Equal lists are made one object, the usual open list the constant OPEN_ACL, so that a million znodes share it and the
check of the common case is an `is`.
"""

from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from coord.model.acl import OPEN_ACL, SUPER_SCHEME, Acl, AclEntry, Identity, Permission
from coord.model.errors import InvalidAclError, NoAuthError

READ = int(Permission.READ)  # plain integers: an IntFlag's `&` costs ten times as much
WRITE = int(Permission.WRITE)
CREATE = int(Permission.CREATE)
DELETE = int(Permission.DELETE)
ADMIN = int(Permission.ADMIN)

_AUTHENTICATED_SCHEMES = ("digest",)  # what `auth` expands to: an address is known, but proves nobody


ENTRIES_MAX = 1000
"""Entries of one list. Every use of the znode on every server looks through them: more are groups in need of a name."""

INT32 = 1 << 31
"""Permissions are a 32-bit integer to ZooKeeper's clients; only the lowest five bits mean something."""

SHORT = 8
"""Up to so many entries looking through the caller's identities is cheaper than making a set of them."""


def allowed(acl: Acl, wanted: int, identities: tuple[Identity, ...]) -> bool:
    """Whether `acl` grants any of the permission bits `wanted` to a caller with these identities."""
    if acl is OPEN_ACL or not acl:
        return True
    for scheme, _ in identities:
        if scheme == SUPER_SCHEME:
            return True
    own = identities if len(acl) <= SHORT else frozenset(identities)
    for perms, scheme, identifier in acl:
        if perms & wanted:
            if scheme == "world":
                return True
            if scheme == "ip":
                if any(mine == "ip" and _in_network(address, identifier) for mine, address in identities):
                    return True
            elif (scheme, identifier) in own:
                return True
    return False


def require(acl: Acl, wanted: int, identities: tuple[Identity, ...], path: str) -> None:
    """Raise NoAuthError unless `acl`, the list of the znode `path`, grants any of `wanted`."""
    if not allowed(acl, wanted, identities):
        names = "|".join(flag.name or "" for flag in Permission(wanted & int(Permission.ALL)))
        raise NoAuthError(f"the ACL of {path} grants {names} to none of the caller's identities; authenticate first")


def fixed(acl: Acl | None, identities: tuple[Identity, ...], path: str) -> Acl:
    """`acl` as it is to be stored: checked, without duplicates, `auth` replaced by the caller's identities."""
    if not acl:
        raise InvalidAclError(f"the ACL for {path} is empty; give at least one entry")
    if acl == OPEN_ACL:
        return OPEN_ACL
    _require_short(len(acl), path)
    entries: dict[AclEntry, None] = {}
    for perms, scheme, identifier in acl:
        if not -INT32 <= perms < INT32:
            raise InvalidAclError(f"the ACL for {path} has an entry with the permissions {perms}; they are 32 bits")
        if scheme == "auth":
            own = [identity for identity in identities if identity[0] in _AUTHENTICATED_SCHEMES]
            if not own:
                raise InvalidAclError(f"the ACL for {path} says 'auth', but the caller has not authenticated")
            entries.update(((int(perms), *identity), None) for identity in own)
        elif _is_valid(scheme, identifier):
            entries[int(perms), scheme, identifier] = None
        else:
            raise InvalidAclError(
                f"the ACL for {path} has the entry {scheme}:{identifier}, which is not one of "
                "world:anyone, digest:USER:HASH, ip:ADDRESS, ip:ADDRESS/BITS, auth:"
            )
    _require_short(len(entries), path)  # `auth` may have become many
    return shared(tuple(entries))


def _require_short(entries: int, path: str) -> None:
    if entries > ENTRIES_MAX:
        raise InvalidAclError(
            f"the ACL for {path} has {entries} entries, the most is {ENTRIES_MAX}; let several users share an identity"
        )


def shared(acl: Acl) -> Acl:
    """The one object that stands for all lists equal to `acl`."""
    return OPEN_ACL if acl == OPEN_ACL else _shared(acl)


def masked(acl: Acl) -> Acl:
    """`acl` for a reader who does not administer the znode: the hashes of digest identities are left out."""
    return tuple(
        (perms, scheme, f"{identifier.partition(':')[0]}:x" if scheme == "digest" else identifier)
        for perms, scheme, identifier in acl
    )


@lru_cache(maxsize=4096)  # bounded: a client that makes up lists without end costs sharing, not memory
def _shared(acl: Acl) -> Acl:
    return acl


def _is_valid(scheme: str, identifier: str) -> bool:
    if scheme == "world":
        return identifier == "anyone"
    if scheme == "digest":
        _, colon, proof = identifier.partition(":")
        return bool(colon and proof) and ":" not in proof
    return scheme == "ip" and _network(identifier) is not None


@lru_cache(maxsize=4096)
def _network(text: str) -> IPv4Network | IPv6Network | None:
    """The addresses that `text`, as 10.0.0.1 or 10.0.0.0/8, means; None if it means none."""
    _, slash, bits = text.partition("/")
    if slash and not (bits.isascii() and bits.isdigit()):
        return None  # ipaddress would take a netmask here, ZooKeeper does not
    try:
        return ip_network(text, strict=False)
    except ValueError:
        return None


@lru_cache(maxsize=4096)
def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped  # how a socket for both versions shows a caller of version 4
    return address


def _in_network(address_text: str, network_text: str) -> bool:
    address, network = _address(address_text), _network(network_text)
    return address is not None and network is not None and address in network
