"""Who a client proves to be: one function a scheme."""

import base64
import hashlib
import hmac
from collections.abc import Callable, Sequence

from coord.model.acl import SUPER_SCHEME, Identity
from coord.model.errors import AuthFailedError
from coord.model.requests import Authenticate
from coord.replica.limits import IDENTITIES_BYTES_MAX, IDENTITIES_MAX


def digest_of(credentials: bytes) -> str:
    """`user:base64(SHA-1(user:password))` of `user:password`, as ZooKeeper's digest scheme has it."""
    user = credentials.split(b":", 1)[0].decode()
    return f"{user}:{base64.b64encode(hashlib.sha1(credentials).digest()).decode()}"


def authenticate(request: Authenticate, identities: Sequence[Identity], super_digest: str) -> list[Identity]:
    """The identities that these credentials prove; AuthFailedError if none.

    `super_digest` is the operator's digest that may do everything, "" for none.
    """
    scheme = SCHEMES.get(request.scheme)
    if scheme is None:
        raise AuthFailedError(f"the scheme {request.scheme!r} is not known here; use digest")
    return scheme(request.credentials, identities, super_digest)


def joined(held: Sequence[Identity], granted: Sequence[Identity]) -> tuple[Identity, ...]:
    """Both, each identity once; AuthFailedError if that is more than one connection may have."""
    identities = tuple(dict.fromkeys((*held, *granted)))
    if len(identities) > IDENTITIES_MAX or sum(len(name) for _, name in identities) > IDENTITIES_BYTES_MAX:
        raise AuthFailedError(
            f"a connection has at most {IDENTITIES_MAX} identities of {IDENTITIES_BYTES_MAX} characters in all"
        )
    return identities


def _digest(credentials: bytes, identities: Sequence[Identity], super_digest: str) -> list[Identity]:
    try:
        proved = digest_of(credentials)
    except UnicodeDecodeError as error:
        raise AuthFailedError("the user's name is not UTF-8") from error
    granted = [("digest", proved)]
    if super_digest and hmac.compare_digest(proved.encode(), super_digest.encode()):
        granted.append((SUPER_SCHEME, ""))
    return granted


def _ip(credentials: bytes, identities: Sequence[Identity], super_digest: str) -> list[Identity]:
    """The address is known already; what the client says of it does not count."""
    return [identity for identity in identities if identity[0] == "ip"]


SCHEMES: dict[str, Callable[[bytes, Sequence[Identity], str], list[Identity]]] = {"digest": _digest, "ip": _ip}
