"""What could come next in a line: commands, options, paths of the live tree, files of this machine.

`wanted` is pure: it tells what is being typed. `TreeCompleter` finds the candidates.
"""

import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path as LocalPath

import trio
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document

from coord.model.errors import CoordError
from coord.model.message import message
from coord.shell.errors import UsageError
from coord.shell.grammar import Command, Commands, File, Path
from coord.shell.state import Shell, join
from coord.shell.table import COMMANDS, LEAVING

PATIENCE_S = 0.5
CANDIDATES_MAX = 200
"""Of one page of children: who has more types another letter."""

NAMES, OPTIONS, PATHS, FILES, NOTHING = "names", "options", "paths", "files", "nothing"


@message
class Wanted:
    kind: str  # one of the five above
    word: str  # what is typed of it, without quotes
    typed: int  # characters, with quotes: these are replaced
    command: Command | None = None


def wanted(commands: Commands, text: str) -> Wanted:
    """What is being typed at the end of `text`."""
    start = word_start(text)
    word, typed = unquoted(text[start:]), len(text) - start
    before = [unquoted(each) for each in words(text[:start])]
    try:
        found, rest = commands.find(before) if before else (None, [])
    except UsageError:
        found, rest = None, []
    if found is None:  # the first word, or the second of a name of two
        return Wanted(NAMES, " ".join([*before, word]), len(text.lstrip()))
    if found.name == "help":
        return Wanted(NAMES, " ".join([*rest, word]), typed + len(" ".join([*rest, ""])))
    if word.startswith("-"):
        return Wanted(OPTIONS, word, typed, found)
    return Wanted(_KINDS.get(_parameter(found, rest), NOTHING), word, typed, found)


_KINDS: dict[object, str] = {Path: PATHS, File: FILES}


def _parameter(command: Command, rest: list[str]) -> object:
    """The kind of the parameter that comes behind these words."""
    flags = {flag: each for each in command.parameters if each.option for flag in each.flags}
    arguments = 0
    last = None
    for each in rest:
        if last is not None:
            last = None
        elif each in flags:
            last = flags[each] if flags[each].kind is not bool else None
        elif not each.startswith("-"):
            arguments += 1
    if last is not None:
        return last.kind
    places = [each for each in command.parameters if not each.option]
    if places and places[-1].many:
        arguments = min(arguments, len(places) - 1)
    return places[arguments].kind if arguments < len(places) else None


def word_start(text: str) -> int:
    """Where the last word begins, in a line whose last quote may still be open."""
    start, quote, escaped = 0, "", False
    for index, letter in enumerate(text):
        if escaped:
            escaped = False
        elif letter == "\\" and quote != "'":
            escaped = True
        elif quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif letter.isspace():
            start = index + 1
    return start


def words(text: str) -> Iterator[str]:
    end = len(text.rstrip())
    found = []
    while end:
        start = word_start(text[:end])
        found.append(text[start:end])
        end = len(text[:start].rstrip())
    return reversed(found)


def unquoted(word: str) -> str:
    for closing in ("", "'", '"'):
        try:
            return "".join(shlex.split(word + closing))
        except ValueError:
            continue
    return word


class TreeCompleter(Completer):
    """Runs in threads of prompt_toolkit and asks the client, which lives in Trio, for paths."""

    def __init__(self, shell: Shell, token: trio.lowlevel.TrioToken, commands: Commands = COMMANDS) -> None:
        self._shell = shell
        self._token = token
        self._commands = commands

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        asked = wanted(self._commands, document.text_before_cursor)
        for text, shown in self._candidates(asked):
            yield Completion(text, start_position=-asked.typed, display=shown)

    def _candidates(self, asked: Wanted) -> Iterable[tuple[str, str]]:
        if asked.kind == NAMES:
            names = sorted([*self._commands.by_name, *LEAVING])
            return [(name, name) for name in names if name.startswith(asked.word)]
        if asked.kind == OPTIONS and asked.command is not None:
            flags = [each.flags[-1] for each in asked.command.parameters if each.option]
            return [(flag, flag) for flag in flags if flag.startswith(asked.word)]
        if asked.kind == FILES:
            return list(files(asked.word))
        if asked.kind == PATHS:
            try:
                return trio.from_thread.run(paths, self._shell, asked.word, trio_token=self._token)
            except (trio.RunFinishedError, trio.Cancelled):
                return []
        return []


async def paths(shell: Shell, typed: str) -> list[tuple[str, str]]:
    """The paths that begin so, as they are to be typed and as they are shown."""
    above, slash, start = typed.rpartition("/")
    parent = shell.path(above + slash) if slash else shell.here
    found: list[tuple[str, str]] = []
    with trio.move_on_after(PATIENCE_S):
        try:
            if start:
                exact = await shell.client.exists(join(parent, start))
                if exact is not None:
                    found.append((start, "/" * (exact.children_count > 0)))
            page = await shell.client.children_page(parent, start, CANDIDATES_MAX)
            for child in page.children:
                if not child.name.startswith(start):
                    break
                found.append((child.name, "/" * bool(child.stat and child.stat.children_count)))
        except CoordError:
            pass
    return [(shlex.quote(above + slash + name) + end, name + end) for name, end in found]


def files(typed: str) -> Iterator[tuple[str, str]]:
    above, slash, start = typed.rpartition("/")
    try:
        for each in sorted(LocalPath(above + slash or ".").expanduser().iterdir())[:CANDIDATES_MAX]:
            if each.name.startswith(start):
                end = "/" if each.is_dir() else ""
                yield shlex.quote(above + slash + each.name) + end, each.name + end
    except OSError:
        return
