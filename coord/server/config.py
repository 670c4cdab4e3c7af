"""What can be set, how it is written, and what is refused.

`Config` is the one table of settings: each field carries its default, its parser, its unit and its help, and
from it come the options of `coord serve`, the keys of the TOML file, the COORD_ variables of the environment
and the table in README.md. `load_config` promises a Config whose values fit each other, or a SettingError
with one sentence: which setting, where it was set, its value, and what would be right.

The command line goes before the environment, the environment before the file, the file before the default.
"""

import base64
import dataclasses
import difflib
import math
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from coord.codec.peer import FRAME_BYTES_MAX
from coord.codec.words import COSTLY
from coord.codec.words import WORDS as words_table

T = TypeVar("T")
N = TypeVar("N", int, float)


class SettingError(Exception):
    """A setting is wrong. The text is one sentence for whoever set it."""


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

MEBIBYTE = 1 << 20


# ---- parsers: text (option, environment) or a TOML value in, the setting's value out, else Unacceptable


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


# ---- the table


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the table: all that is known of a setting except its type, which stands beside its name."""

    name: str  # the field of Config and the key in the TOML file
    default: object
    parse: Callable[[object], object]
    unit: str  # what a plain number counts, or the form that the text has
    help: str
    secret: bool  # never shown, in no message and in no log

    @property
    def option(self) -> str:
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        return "COORD_" + self.name.upper()

    def shown_default(self) -> str:
        """The default as one would write it on the command line; empty if there is none."""
        return _shown(self.default)


def setting(default: T, parse: Callable[[object], T], unit: str, help: str, *, secret: bool = False) -> T:
    """Declare a setting. Its default and its parser must give the type that stands beside its name."""
    metadata = {"default": default, "parse": parse, "unit": unit, "help": help, "secret": secret}
    return field(default_factory=lambda: default, metadata=metadata, repr=not secret)


NOBODY: Mapping[int, Address] = {}

SUPER, ANYONE, NOBODY_INSPECTS = "super", "anyone", "nobody"
"""Who may read the past."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """How one server runs. A unit stands at the end of each name that counts something."""

    # ---- who, and where
    id: int = setting(1, server_id, "1-255", "this server's number in the ensemble")
    data: Path = setting(
        Path("coord-data"), folder, "folder", "where the log, the snapshots and the promises are kept; made if missing"
    )
    client: Address = setting(
        Address("127.0.0.1", 2181), client_address, "HOST:PORT", "where clients connect; or unix:/PATH"
    )
    client_also: tuple[Address, ...] = setting(
        (), client_addresses, "HOST:PORT,...", "where clients connect too, such as [::1]:2181,unix:/run/coord.sock"
    )
    peer: Address | None = setting(
        None,
        optional_address,
        "HOST:PORT",
        "where the other servers connect; if not given, this server's own address in the ensemble",
    )
    ensemble: Mapping[int, Address] = setting(
        NOBODY,
        servers,
        "ID=HOST:PORT,...",
        "every server's id and peer address, this one's too, the same on all of them; empty: this server alone",
    )
    observers: frozenset[int] = setting(
        frozenset(),
        server_ids,
        "ID,...",
        "servers of the ensemble that follow and serve but do not vote, the same on all",
    )
    priority: int = setting(
        0, whole(0, 1000), "0-1000", "of voters whose logs are equally long, the one with the highest becomes leader"
    )

    # ---- who may do what
    super_digest: str = setting(
        "",
        super_digest,
        "USER:BASE64SHA1",
        "a superuser: a client that authenticates as it, with scheme digest, passes every ACL",
        secret=True,
    )
    words: frozenset[str] = setting(
        frozenset(WORDS).difference(COSTLY_WORDS),
        words,
        "WORD,...",
        f"four-letter words that are answered; * for all; the costly {', '.join(COSTLY_WORDS)} only if listed",
    )

    inspect: str = setting(
        SUPER,
        choice(SUPER, ANYONE, NOBODY_INSPECTS),
        "super, anyone, nobody",
        "who may read the stored past, which holds every value whatever its ACL: the superuser and who runs the "
        "server, anyone, or nobody",
    )

    # ---- HTTP for operators
    admin: Address | None = setting(
        None,
        optional_address,
        "HOST:PORT",
        "where operators and Prometheus are answered over HTTP, without encryption; nowhere if not given",
    )
    admin_hosts: frozenset[str] = setting(
        frozenset(),
        admin_hosts,
        "NAME,...",
        "names by which --admin may be called, beside localhost and its own host; * for any",
    )
    admin_token_file: Path | None = setting(
        None,
        optional_file,
        "file",
        "holds the token that HTTP requests must bring which change anything; none are done if not given",
    )

    # ---- what a client may cost
    frame_bytes_max: int = setting(
        MEBIBYTE - 1, whole(1024, 1 << 30), "bytes", "longest request; a longer one ends its connection"
    )
    connections_max: int = setting(10_000, whole(1), "connections", "most clients at a time; more are hung up on")
    connections_per_address_max: int = setting(
        1000, whole(0), "connections", "most clients at a time from one IP address; 0: no such limit"
    )
    outstanding_requests_max: int = setting(
        1000, whole(1), "requests", "most unanswered requests of one connection; at this many no more is read from it"
    )
    reply_bytes_max: int = setting(
        16 * MEBIBYTE,
        whole(1024),
        "bytes",
        "most replies kept for a client that does not read; with more it is hung up on",
    )
    handshake_timeout_s: float = setting(
        10.0,
        number(0.001),
        "seconds",
        "longest time from connecting to the first whole request; then the client is hung up on",
    )
    frame_timeout_s: float = setting(
        30.0, number(0.001), "seconds", "longest time a request stays half sent; then the client is hung up on"
    )
    reply_timeout_s: float = setting(
        30.0,
        number(0.001),
        "seconds",
        "longest time a client takes nothing of the replies that wait for it; then it is hung up on",
    )
    inspections_max: int = setting(
        4, whole(1), "clients", "most clients that are told the past at a time, since each reads the disk all the while"
    )
    session_timeout_min_ms: int = setting(
        1000, whole(1), "milliseconds", "shortest session timeout; a client that asks for less gets this"
    )
    session_timeout_max_ms: int = setting(
        60_000, whole(1), "milliseconds", "longest session timeout; a client that asks for more gets this"
    )

    # ---- the leader's chores
    reap_interval_s: float = setting(
        60.0, number(0.001), "seconds", "time between two searches for empty containers and outlived TTL znodes"
    )
    container_never_used_s: float = setting(
        300.0, number(0), "seconds", "how long a container that never had a child is kept; 0: for ever"
    )

    # ---- the ensemble
    heartbeat_ms: int = setting(100, whole(1), "milliseconds", "time between two heartbeats of the leader")
    leader_timeout_ms: int = setting(
        1200, whole(1), "milliseconds", "silence after which the leader, or for the leader its quorum, counts as lost"
    )
    settle_ms: int = setting(
        150, whole(0), "milliseconds", "longest time an election that is decided waits for voters that may still answer"
    )
    peer_frame_bytes_max: int = setting(
        FRAME_BYTES_MAX, whole(1024), "bytes", "longest message between servers; a longer one ends the connection"
    )
    peer_outbox_bytes_max: int = setting(
        64 * MEBIBYTE,
        whole(1024),
        "bytes",
        "most that is kept for a server that does not read; with more it is hung up on",
    )
    watch_window_bytes: int = setting(
        16 * MEBIBYTE,
        whole(0),
        "bytes",
        "memory for the last changes, from which a client that was away is told what its watches missed",
    )
    history_bytes_max: int = setting(
        64 * MEBIBYTE, whole(0), "bytes", "how much of the newest log stays in memory, for servers that fell behind"
    )

    # ---- the disk
    segment_bytes: int = setting(64 * MEBIBYTE, whole(4096), "bytes", "size of one file of the log")
    snapshot_after_bytes: int = setting(
        128 * MEBIBYTE, whole(1), "bytes", "how much log is written between two snapshots; a start reads so much"
    )
    snapshots_kept: int = setting(
        3, whole(1), "snapshots", "how many snapshots are kept, with the log above the oldest of them"
    )
    past_bytes_max: int = setting(
        1024 * MEBIBYTE,
        whole(0),
        "bytes",
        "older snapshots and log stay to be looked back at (`coord history`) while all takes no more; 0: none",
    )
    past_age_max_s: float = setting(
        0.0, number(0), "seconds", "of these, only what has changes younger than that; 0: whatever their age"
    )
    write_inline_max_ms: float = setting(
        2.0,
        number(0),
        "milliseconds",
        "a disk whose sync takes no longer is waited for; a slower one gets a thread of its own",
    )

    # ---- what is said about it
    tick_ms: int = setting(2000, whole(1), "milliseconds", "tickTime as the four-letter words show it; no other effect")
    log_level: str = setting(
        "info",
        choice("debug", "info", "warning", "error"),
        "LEVEL",
        "least level that is logged: debug, info, warning or error",
    )
    log_format: str = setting("text", choice("text", "json"), "text, json", "a line of text or a JSON object an event")

    def __post_init__(self) -> None:
        if self.peer is None and self.id in self.ensemble:
            object.__setattr__(self, "peer", self.ensemble[self.id])

    @property
    def servers(self) -> tuple[int, ...]:
        """Every server's id, ascending; a server without an ensemble is one by itself."""
        return tuple(sorted(self.ensemble)) or (self.id,)

    @property
    def voters(self) -> tuple[int, ...]:
        """Those of them that vote."""
        return tuple(server for server in self.servers if server not in self.observers)


def _settings() -> tuple[Setting, ...]:
    return tuple(Setting(name=each.name, **each.metadata) for each in dataclasses.fields(Config))


SETTINGS: Mapping[str, Setting] = {each.name: each for each in _settings()}
"""Every setting by its name, in the order of Config."""


# ---- from what was given to a Config


@dataclass(frozen=True, slots=True)
class Given:
    """A value as somebody wrote it, and where."""

    value: object
    where: str


def load_config(
    arguments: Mapping[str, object], environment: Mapping[str, str] | None = None, file: Path | None = None
) -> Config:
    """The Config that these three give together, or SettingError.

    `arguments` are the settings given on the command line, by name; `environment` may hold other variables.
    """
    given = _from_file(file) if file is not None else {}
    given |= _from_environment(environment or {})
    given |= {name: Given(value, f"option {SETTINGS[name].option}") for name, value in arguments.items()}
    values: dict[str, Any] = {name: _parsed(SETTINGS[name], each) for name, each in given.items()}
    config = Config(**values)
    sources = Sources(config, given)
    for check in CHECKS:
        problem = check(config, sources)
        if problem is not None:
            raise SettingError(problem)
    return config


def is_given(
    name: str, arguments: Mapping[str, object], environment: Mapping[str, str], file: Path | None = None
) -> bool:
    """Whether anybody has set it, of those that `load_config` asks."""
    return (
        name in arguments or SETTINGS[name].variable in environment or (file is not None and name in _from_file(file))
    )


def misspelt_variables(environment: Mapping[str, str]) -> list[str]:
    """A sentence for each COORD_ variable that nobody reads but that looks like one of ours.

    They are not refused: Kubernetes sets variables such as COORD_PORT for a service named coord.
    """
    known = [each.variable for each in SETTINGS.values()]
    strangers = [name for name in environment if name.startswith("COORD_") and name not in known]
    return [
        f"the environment variable {name} is not read; is {near[0]} meant?"
        for name in strangers
        if (near := difflib.get_close_matches(name, known, n=1, cutoff=0.85))
    ]


def _from_file(file: Path) -> dict[str, Given]:
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingError(f"the settings file {file} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingError(f"the settings file {file} is not TOML: {error}") from None
    for key in table:
        if key not in SETTINGS:
            near = difflib.get_close_matches(key.replace("-", "_"), SETTINGS, n=1)
            hint = f"is {near[0]} meant?" if near else "coord serve --help lists what can be set"
            raise SettingError(f"key {key!r} in {file} is not a setting; {hint}")
    return {key: Given(value, f"key {key!r} in {file}") for key, value in table.items()}


def _from_environment(environment: Mapping[str, str]) -> dict[str, Given]:
    return {
        each.name: Given(environment[each.variable], f"environment variable {each.variable}")
        for each in SETTINGS.values()
        if each.variable in environment
    }


def _parsed(row: Setting, given: Given) -> object:
    try:
        return row.parse(given.value)
    except Unacceptable as error:
        value = "the value (not shown)" if row.secret else repr(given.value)
        raise SettingError(f"{given.where}: {value} is wrong: it {error}") from None


def _shown(value: object) -> str:
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


# ---- settings that must fit each other: a sentence if they do not


@dataclass(frozen=True, slots=True)
class Sources:
    """Says of a setting what it is and where that comes from."""

    config: Config
    given: Mapping[str, Given]

    def say(self, name: str) -> str:
        where = self.given[name].where if name in self.given else "default"
        return f"{name} {_shown(getattr(self.config, name))} ({where})"


def _id_is_in_the_ensemble(config: Config, sources: Sources) -> str | None:
    if not config.ensemble or config.id in config.ensemble:
        return None
    return f"{sources.say('id')} is not in the {sources.say('ensemble')}; add it there or give one of those ids"


def _peer_has_an_ensemble(config: Config, sources: Sources) -> str | None:
    if config.peer is None or config.ensemble:
        return None
    return f"{sources.say('peer')} is of no use without an ensemble; give --ensemble too, or leave it out"


def _admin_has_an_address(config: Config, sources: Sources) -> str | None:
    for name in ("admin_hosts", "admin_token_file"):
        if config.admin is None and getattr(config, name):
            return f"{sources.say(name)} is of no use without --admin; give that too, or leave it out"
    return None


def _client_is_not_a_peer_address(config: Config, sources: Sources) -> str | None:
    for name, addresses in (("client", (config.client,)), ("client_also", config.client_also)):
        if config.peer in addresses:
            return f"{sources.say(name)} is also {sources.say('peer')}; clients and servers need a port each"
        for server, where in config.ensemble.items():
            if where in addresses:
                return f"{sources.say(name)} is the peer address of server {server} in the ensemble; give another port"
    return None


def _client_addresses_are_different(config: Config, sources: Sources) -> str | None:
    if len({config.client, *config.client_also}) == 1 + len(config.client_also):
        return None
    return f"{sources.say('client_also')} names an address twice, or that of {sources.say('client')}; give each once"


def _observers_are_in_the_ensemble(config: Config, sources: Sources) -> str | None:
    for server in sorted(config.observers):
        if server not in config.servers:
            return f"{sources.say('observers')}: server {server} is not in the {sources.say('ensemble')}"
    if not config.voters:
        return f"{sources.say('observers')} leaves no server that votes; at least one must"
    return None


def _not_above(low: str, high: str, factor: int = 1) -> "Check":
    """`factor` times the setting `low` may not be above the setting `high`."""

    def check(config: Config, sources: Sources) -> str | None:
        if factor * getattr(config, low) <= getattr(config, high):
            return None
        times = f"{factor} times " if factor > 1 else ""
        return f"{sources.say(high)} is less than {times}{sources.say(low)}; raise the first or lower the second"

    return check


Check = Callable[[Config, Sources], str | None]
CHECKS: tuple[Check, ...] = (
    _id_is_in_the_ensemble,
    _peer_has_an_ensemble,
    _client_is_not_a_peer_address,
    _admin_has_an_address,
    _client_addresses_are_different,
    _observers_are_in_the_ensemble,
    _not_above("session_timeout_min_ms", "session_timeout_max_ms"),
    _not_above("frame_bytes_max", "reply_bytes_max", factor=2),  # one reply may be as long as the data and more
    _not_above("frame_bytes_max", "peer_frame_bytes_max", factor=2),  # a request must fit into a batch
    _not_above("peer_frame_bytes_max", "peer_outbox_bytes_max"),  # one message must fit
    _not_above("heartbeat_ms", "leader_timeout_ms", factor=3),  # one late heartbeat must not end a reign
)
