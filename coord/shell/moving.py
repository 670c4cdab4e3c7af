"""Commands about the shell itself: cd, pwd, help, version."""

from coord.shell.grammar import ROOT, Path, command
from coord.shell.state import Shell
from coord.shell.values import Place
from coord.shell.walk import existing


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
