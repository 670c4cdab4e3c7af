"""From what was given to a Config, or one sentence: which setting, where it was set, its value, what would be right.

The command line goes before the environment, the environment before the file, the file before the default.
"""

import difflib
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coord.server.config import SETTINGS, Config, Setting
from coord.server.parsers import Unacceptable, shown


class SettingError(Exception):
    """A setting is wrong. The text is one sentence for whoever set it."""


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


# ---- settings that must fit each other: a sentence if they do not


@dataclass(frozen=True, slots=True)
class Sources:
    """Says of a setting what it is and where that comes from."""

    config: Config
    given: Mapping[str, Given]

    def say(self, name: str) -> str:
        where = self.given[name].where if name in self.given else "default"
        value = shown(getattr(self.config, name))
        return f"{name} {value if value.isprintable() else repr(value)} ({where})"


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
