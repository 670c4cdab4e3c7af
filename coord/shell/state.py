"""What a shell remembers between commands, and how it asks its user."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from coord.client.client import Client
from coord.shell import words
from coord.shell.errors import ShellError
from coord.shell.looking import AskWord

Ask = Callable[[str], Awaitable[bool]]

Connect = Callable[[str], None]
"""To other servers, when the command has ended."""


@dataclass(slots=True)
class Shell:
    """One session of the shell: its client, its place in the tree, and what it may do."""

    client: Client
    addresses: str
    read_only: bool = False
    ask: Ask | None = None  # None: nobody is there to be asked
    here: str = "/"
    before: str = "/"  # where `cd -` goes
    ask_word: AskWord = words.ask
    connect: Connect | None = None  # None: this shell stays where it is
    input_taken: bool = False  # standard input holds the script, so no value
    lines: list[str] = field(default_factory=list)  # what was done, for history and redo

    def path(self, typed: str) -> str:
        """The absolute path that was meant: relative to here, with . and .. and a slash too many."""
        try:
            typed.encode()
        except UnicodeEncodeError:
            raise ShellError(f"the path {typed!r:.200} is not UTF-8; paths of znodes are") from None
        parts: list[str] = []
        for part in (typed if typed.startswith("/") else f"{self.here}/{typed}").split("/"):
            if part == "..":
                del parts[-1:]
            elif part not in ("", "."):
                parts.append(part)
        return "/" + "/".join(parts)

    async def confirm(self, question: str, forced: bool) -> None:
        """Go on only if the user says yes, or said so before by an option. Raises ShellError."""
        if forced:
            return
        if self.ask is None:
            raise ShellError(f"{question} Nobody can be asked here: say yes with -f")
        if not await self.ask(question):
            raise ShellError("nothing was done")


def join(path: str, name: str) -> str:
    return f"/{name}" if path == "/" else f"{path}/{name}"


def under(path: str, top: str) -> bool:
    """Is `path` the znode `top`, or below it?"""
    return path == top or top == "/" or path.startswith(f"{top}/")
