"""Where commands about the past look: the options that say it, and the source that they mean."""

import argparse
from collections.abc import Callable
from functools import partial

from coord.client.addresses import TcpAddress, parse_addresses
from coord.model.errors import AddressError
from coord.model.inspection import Auth
from coord.net.network import TcpNetwork
from coord.past.backup import most_advanced
from coord.past.backup_file import BackupSource
from coord.past.folder import FolderSource
from coord.past.remote import ServerSource
from coord.past.source import Source
from coord.shell.errors import UsageError

DATA = "coord-data"
ADDRESSES = "127.0.0.1:2181"

Note = Callable[[str], None]
"""Takes a sentence that is to be known."""

PLACE_OPTIONS = ("data", "server", "backup")


def add_where(to: argparse.ArgumentParser) -> None:
    """The options that say where to look; a command and its second word may both have them."""
    add = partial(to.add_argument, default=argparse.SUPPRESS)
    add("--data", metavar="DIR", help=f"a server's data folder, also while it runs (default ./{DATA})")
    add(
        "--server", metavar="ADDRESSES", help="a running server instead: of these host:port,... the one that knows most"
    )
    add("--backup", metavar="FILE", help="a backup instead")
    add_auth(to)


def add_auth(to: argparse.ArgumentParser) -> None:
    to.add_argument(
        "--auth",
        metavar="SCHEME:CREDENTIALS",
        action="append",
        default=argparse.SUPPRESS,
        help="who you are for the server: digest:USER:PASSWORD of its superuser",
    )


async def open_where(options: argparse.Namespace, note: Note) -> Source:
    """What the options name, a folder if they name nothing. Raises PastError, UsageError."""
    named = {name: value for name in PLACE_OPTIONS if (value := getattr(options, name, None)) is not None}
    if len(named) > 1:
        raise UsageError(f"{' and '.join(f'--{name}' for name in named)} name two places to look; give one of them")
    if "server" in named:
        return await open_server(named["server"], auth_of(getattr(options, "auth", [])), note)
    if "backup" in named:
        return BackupSource(named["backup"])
    return FolderSource(named.get("data", DATA))


async def open_server(addresses: str, auth: Auth, note: Note) -> Source:
    """Of these servers the one that knows most; those that do not tell are noted. PastError if none does tell."""
    try:
        parsed, _ = parse_addresses(addresses)
    except AddressError as error:
        raise UsageError(str(error)) from None
    network = TcpNetwork()
    where = [((each.host, each.port) if isinstance(each, TcpAddress) else (each.path, 0), str(each)) for each in parsed]
    source, failures = await most_advanced(
        [ServerSource(network, host, port, name, auth) for (host, port), name in where]
    )
    for each in failures:
        note(f"{each}; {source.name} is asked, and may know less")
    return source


def auth_of(given: list[str]) -> Auth:
    """SCHEME:CREDENTIALS, each. Raises UsageError, which does not repeat what was given: it may be a password."""
    pairs = [each.split(":", 1) for each in given]
    if any(len(each) != 2 for each in pairs):
        raise UsageError("--auth is SCHEME:CREDENTIALS, such as digest:USER:PASSWORD")
    return tuple([(scheme, credentials.encode()) for scheme, credentials in pairs])
