"""Commands about the shell itself: cd, pwd, history, redo, connect, version."""

from coord.client.addresses import parse_addresses
from coord.model.errors import AddressError
from coord.shell.errors import ShellError, UsageError
from coord.shell.grammar import ROOT, Count, Path, command
from coord.shell.looking import look
from coord.shell.state import Shell
from coord.shell.values import Again, Done, Line, Place, Version
from coord.shell.walk import existing
from coord.version import __version__

LINES_SHOWN = Count(11)
"""As many as zkCli shows."""


@command()
async def cd(shell: Shell, path: Path = ROOT) -> None:
    """Go to a znode: paths that do not begin with / are below it from now on.

    Options:
        path: `..` is the znode above, `-` where you were before

    Examples:
        cd /app
        cd ..
        cd -
    """
    where = shell.before if path == "-" else shell.path(path)
    if where != "/":
        await existing(shell.client, where)
    shell.before, shell.here = shell.here, where


@command()
async def pwd(shell: Shell) -> Place:
    """Where this shell is.

    Examples:
        pwd
    """
    return Place(shell.here)


@command()
async def history(shell: Shell, count: Count = LINES_SHOWN) -> list[Line]:
    """The last commands of this shell with their numbers, for redo. Those of earlier ones come with the arrow up.

    Options:
        count: so many

    Examples:
        history
    """
    first = max(0, len(shell.lines) - count)
    return [Line(number, line) for number, line in enumerate(shell.lines[first:], first)]


@command()
async def redo(shell: Shell, number: Count) -> Again:
    """Do the command of this number again.

    Options:
        number: as history shows it

    Examples:
        redo 0
    """
    if number >= len(shell.lines):
        raise UsageError(f"redo: there is no command {number} in the history of this shell")
    return Again(shell.lines[number])


@command()
async def connect(shell: Shell, addresses: str) -> Done:
    """Go to other servers, with another session: ephemeral znodes of this shell end. For the prompt.

    Options:
        addresses: host:port,host:port

    Examples:
        connect 127.0.0.1:2181
    """
    if shell.connect is None:
        raise ShellError("connect is for the prompt; a script names its servers when it begins: coord shell ADDRESSES")
    try:
        parse_addresses(addresses)
    except AddressError as error:
        raise UsageError(f"connect: {error}") from None
    shell.connect(addresses)
    return Done(f"leaving {shell.addresses} for {addresses}")


@command()
async def version(shell: Shell) -> Version:
    """The version of this shell, and of the server that serves it.

    Examples:
        version
    """
    told: str | None = None
    if shell.client.server is not None:
        seen = await look(parse_addresses(shell.client.server.address)[0], ask_word=shell.ask_word)
        told = seen.servers[0].version
    return Version(__version__, told)
