"""Values of settings as they are written: one parser a kind, for options, variables and the TOML file alike.

A parser takes a text, or what TOML made of it, and gives the setting's value, or raises Unacceptable.
"""

import base64
import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple, TypeVar

from coord.codec.words import COSTLY
from coord.codec.words import WORDS as words_table

N = TypeVar("N", int, float)


class Address(NamedTuple):
    """Where to listen or to connect: equal to the pair (host, port) that sockets take.

    A host that begins with / is the path of a Unix socket, whose port is 0.
    """

    host: str
    port: int

    def __str__(self) -> str:
        if self.host.startswith("/"):
            return f"unix:{self.host}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


WORDS = tuple(sorted(words_table))
COSTLY_WORDS = tuple(sorted(COSTLY))
"""Answers that grow with every session and watch, and name paths whatever their ACL: only on request."""


class Unacceptable(Exception):
    """A value is not what its setting takes; the text goes on from "the value ..."."""


def text(value: object) -> str:
    if isinstance(value, str) and value:
        return value
    raise Unacceptable("must be a text that is not empty")


def folder(value: object) -> Path:
    return Path(text(value))


def whole(least: int, most: int | None = None) -> Callable[[object], int]:
    """A parser of whole numbers from `least` to `most`."""
    return _within(_whole, f"must be a whole number {_range(least, most)}", least, most)


def number(least: float, most: float | None = None) -> Callable[[object], float]:
    """A parser of numbers, with a fraction or without, from `least` to `most`."""
    return _within(_finite, f"must be a number {_range(least, most)}", least, most)


def _within(read: Callable[[object], N], expected: str, least: N, most: N | None) -> Callable[[object], N]:
    def parse(value: object) -> N:
        try:
            found = read(value)
        except (ValueError, OverflowError):
            raise Unacceptable(expected) from None
        if found < least or (most is not None and found > most):
            raise Unacceptable(expected)
        return found

    return parse


def _whole(value: object) -> int:
    if isinstance(value, str):
        return int(value)
    if type(value) is int:  # not a bool
        return value
    raise ValueError


def _finite(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ValueError
    found = float(value)
    if not math.isfinite(found):
        raise ValueError
    return found


def choice(*allowed: str) -> Callable[[object], str]:
    """A parser of one word out of a few."""

    def parse(value: object) -> str:
        if isinstance(value, str) and value in allowed:
            return value
        raise Unacceptable(f"must be {' or '.join(allowed)}")

    return parse


def address(value: object) -> Address:
    """HOST:PORT, where an IPv6 host stands in brackets."""
    if not isinstance(value, str):
        raise Unacceptable(ADDRESS_EXPECTED)
    host, colon, port = value.strip().rpartition(":")
    if host[:1] == "[" and host[-1:] == "]":
        host = host[1:-1]
    elif ":" in host or "[" in host or "]" in host:
        raise Unacceptable(f"{ADDRESS_EXPECTED}; an IPv6 host stands in brackets")
    if not (colon and host and port.isascii() and port.isdigit() and 1 <= int(port) <= 65535) or set(host) & BLANKS:
        raise Unacceptable(ADDRESS_EXPECTED)
    if not _is_host(host):
        raise Unacceptable(f"{ADDRESS_EXPECTED}; no part of a host's name between dots is empty or over 63 bytes")
    return Address(host, int(port))


def _is_host(name: str) -> bool:
    """Whether the name can be asked for at all: what cannot be encoded for DNS is no name of a host."""
    try:
        return name.isprintable() and bool(name.encode("idna"))
    except UnicodeError:
        return False


def client_address(value: object) -> Address:
    """HOST:PORT, or unix:PATH for a socket in the file system of this machine."""
    if isinstance(value, str) and value.startswith("unix:"):
        path = value.removeprefix("unix:")
        if path.startswith("/") and path.isprintable() and len(path.encode()) <= UNIX_PATH_BYTES_MAX:
            return Address(path, 0)
        raise Unacceptable(f"must be unix: and an absolute path of at most {UNIX_PATH_BYTES_MAX} bytes")
    try:
        return address(value)
    except Unacceptable as error:
        raise Unacceptable(f"{error}; or unix:/PATH") from None


def client_addresses(value: object) -> tuple[Address, ...]:
    """Such addresses with commas between them, or a TOML list of them."""
    return tuple(client_address(part) for part in _parts(value))


def optional_address(value: object) -> Address | None:
    return address(value)


def servers(value: object) -> Mapping[int, Address]:
    """1=HOST:PORT,2=HOST:PORT or a TOML table from id to HOST:PORT."""
    pairs: Iterable[tuple[object, object]]
    if isinstance(value, str):
        pairs = [(key, place) for key, _, place in (part.partition("=") for part in value.split(",") if part.strip())]
    elif isinstance(value, dict):
        pairs = value.items()
    else:
        raise Unacceptable(SERVERS_EXPECTED)
    found: dict[int, Address] = {}
    for key, place in pairs:
        try:
            server, where = server_id(key), address(place)
        except Unacceptable as error:
            pair = f"{key}={place}"
            shown = pair if pair.isprintable() else repr(pair)
            raise Unacceptable(f"{SERVERS_EXPECTED}; {shown} is not: it {error}") from None
        if server in found:
            raise Unacceptable(f"names the server {server} twice; each id stands for one server")
        if where in found.values():
            other = next(known for known, taken in found.items() if taken == where)
            raise Unacceptable(f"gives the servers {other} and {server} one address, {where}; each needs its own")
        found[server] = where
    return found


def server_ids(value: object) -> frozenset[int]:
    """Ids with commas between them, or a TOML list of them."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = [value]
    try:
        return frozenset(server_id(part) for part in _parts(value))
    except Unacceptable:
        raise Unacceptable("must be server ids from 1 to 255 with commas between them, such as 4,5") from None


def words(value: object) -> frozenset[str]:
    """Four-letter words with commas between them, or a TOML list of them; * is all of them."""
    try:
        named = frozenset(text(part) for part in _parts(value))
    except Unacceptable:
        raise Unacceptable(WORDS_EXPECTED) from None
    if "*" in named:
        return frozenset(WORDS)
    for word in sorted(named.difference(WORDS)):
        raise Unacceptable(f"{WORDS_EXPECTED}; {word} is none of them")
    return named


def super_digest(value: object) -> str:
    """USER:BASE64 of the SHA-1 of "user:password", as ZooKeeper's DigestAuthenticationProvider writes it."""
    if isinstance(value, str):
        user, _, digest = value.partition(":")
        try:
            if user and len(base64.b64decode(digest, validate=True)) == SHA1_BYTES:
                return value
        except ValueError:  # what is not base64, or not even ASCII
            pass
    raise Unacceptable(
        "must be USER:BASE64, where BASE64 (28 characters) encodes the SHA-1 of USER:PASSWORD; "
        "printf %s USER:PASSWORD | openssl dgst -sha1 -binary | base64 makes it"
    )


def admin_hosts(value: object) -> frozenset[str]:
    """Names with commas between them, or a TOML list of them; * is any."""
    found = set()
    for part in _parts(value):
        name = part.strip("[]").rstrip(".").lower() if isinstance(part, str) else ""
        if name != "*" and (not name or set(name) & BLANKS or not _is_host(name)):
            raise Unacceptable(
                "must be names or addresses without a port, with commas between them, such as coord1,::1"
            )
        found.add(name)
    return frozenset(found)


def optional_file(value: object) -> Path | None:
    return Path(text(value))


def _parts(value: object) -> list[object]:
    """What stands between commas, or in a TOML list; an empty text is an empty list."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    if isinstance(value, list):
        return value
    raise Unacceptable("must be a list")


def _range(least: float, most: float | None) -> str:
    return f"of at least {least}" if most is None else f"from {least} to {most}"


server_id = whole(1, 255)  # a session's id carries it in its highest byte
BLANKS = frozenset(" \t\r\n,=/@")
SHA1_BYTES = 20
UNIX_PATH_BYTES_MAX = 100  # what every system takes; Linux has room for 107
ADDRESS_EXPECTED = "must be HOST:PORT, such as 127.0.0.1:2181 or [::1]:2181, with a port from 1 to 65535"
SERVERS_EXPECTED = "must be ID=HOST:PORT with commas between them, such as 1=10.0.0.1:3181,2=10.0.0.2:3181"
WORDS_EXPECTED = f"must be * or some of {','.join(WORDS)}"


def shown(value: object) -> str:
    """A value as one would write it on the command line."""
    if value is None:
        return ""
    if isinstance(value, Address):
        return str(value)
    if isinstance(value, Mapping):
        return ",".join(f"{server}={where}" for server, where in value.items())
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    if isinstance(value, frozenset):
        return ",".join(str(part) for part in sorted(value))
    if isinstance(value, float):
        return f"{value:g}"
    return str(value)
