"""What can be set.

`Config` is the one table of settings: each field carries its default, its parser, its unit and its help, and
from it come the options of `coord serve`, the keys of the TOML file, the COORD_ variables of the environment
and the table in README.md. loading.py makes one of what was given, parsers.py knows how values are written.
"""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from coord.codec.peer import FRAME_BYTES_MAX
from coord.server.parsers import (
    COSTLY_WORDS,
    WORDS,
    Address,
    admin_hosts,
    choice,
    client_address,
    client_addresses,
    folder,
    number,
    optional_address,
    optional_file,
    server_id,
    server_ids,
    servers,
    shown,
    super_digest,
    whole,
    words,
)

T = TypeVar("T")

MEBIBYTE = 1 << 20


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
        return shown(self.default)


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
        128 * MEBIBYTE,
        whole(1),
        "bytes",
        "most log between two snapshots, which a start reads; less while the state is smaller",
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
