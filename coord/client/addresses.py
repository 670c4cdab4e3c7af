"""Where the servers are, as people write it: connection strings, and sentences for what is wrong in them.

`h1:2181,h2:2181/app`, `coord://h1,h2/app`, `[::1]:2181`, `unix:/run/coord.sock`, or a list of such addresses. The
path at the end, if any, is the namespace. Pure: no name is looked up here.
"""

from collections.abc import Iterable
from typing import TypeAlias

from coord.model.errors import AddressError, BadArgumentsError
from coord.model.message import message
from coord.model.paths import check_path

PORT = 2181
"""Where a server listens if an address names no port."""

_SCHEME = "coord://"
_UNIX = "unix:"


@message
class TcpAddress:
    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@message
class UnixAddress:
    path: str

    def __str__(self) -> str:
        return f"{_UNIX}{self.path}"


Address: TypeAlias = TcpAddress | UnixAddress


def parse_addresses(given: str | Iterable[str]) -> tuple[list[Address], str]:
    """The addresses, and the namespace at the end ("" if there is none). Raises AddressError."""
    if not isinstance(given, str):
        addresses = [_address(each.strip(), str(each)) for each in given]
        if not addresses:
            raise AddressError("the list of addresses is empty; give at least one, such as '127.0.0.1:2181'")
        return addresses, ""
    text = given.strip()
    rest = text.removeprefix(_SCHEME)
    if "://" in rest:
        raise AddressError(f"{given!r} has a scheme that is not known; write coord://host:port, or host:port alone")
    namespace = ""
    if _UNIX not in rest:  # the path of a socket has slashes of its own
        rest, slash, path = rest.partition("/")
        namespace = check_namespace(slash + path)
    if not rest:
        raise AddressError(f"{given!r} names no server; write for example '127.0.0.1:2181'")
    return [_address(each.strip(), given) for each in rest.split(",")], namespace


def check_namespace(namespace: str) -> str:
    """The namespace as it is put before paths: "" for none and for "/". Raises AddressError."""
    if namespace in ("", "/"):
        return ""
    try:
        check_path(namespace)
    except BadArgumentsError as error:
        raise AddressError(f"the namespace cannot be used: {error}") from error
    return namespace


def _address(text: str, given: str) -> Address:
    if text.startswith(_UNIX):
        path = text.removeprefix(_UNIX)
        if not path:
            raise AddressError(f"an address in {given!r} names no socket; write for example 'unix:/run/coord.sock'")
        return UnixAddress(path)
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise AddressError(f"the address {text!r} is not closed as an IPv6 address is: [::1]:{PORT}")
        return TcpAddress(_host(host, text), _port(rest[1:], text) if rest else PORT)
    if text.count(":") > 1:
        raise AddressError(f"the address {text!r} has several colons; write an IPv6 address in brackets: [::1]:{PORT}")
    host, colon, port = text.partition(":")
    return TcpAddress(_host(host, text), _port(port, text) if colon else PORT)


def _host(host: str, text: str) -> str:
    if not host or any(each.isspace() for each in host):
        raise AddressError(f"the address {text!r} names no host; write host:port, for example '127.0.0.1:{PORT}'")
    return host


def _port(port: str, text: str) -> int:
    if port.isascii() and port.isdecimal() and 1 <= int(port) <= 65_535:
        return int(port)
    raise AddressError(f"the port {port!r} in the address {text!r} must be a whole number from 1 to 65535")
