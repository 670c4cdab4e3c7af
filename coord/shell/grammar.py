"""Commands from functions: the signature is the grammar, the docstring is the help.

A command is `async def name(shell, ...) -> value`, or an async generator of lists of values, which are shown as they
come. Parameters before `*` are its arguments, those after it its options, with their types and defaults:
`long: Annotated[bool, "l"] = False` is `-l` and `--long`. A docstring is a sentence, then text, then `Options:` and
`Examples:`, a line each. Nothing is registered by hand: a family gives its functions, and this builds parser, help
and completion from them. argparse does the parsing.
"""

import argparse
import difflib
import inspect
import re
import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, NewType, NoReturn, TypeVar, Union, get_args, get_origin, get_type_hints

from coord.shell.errors import UsageError

Path = NewType("Path", str)
"""A path of a znode as it was typed: completed from the live tree, made absolute by the command."""

File = NewType("File", str)
"""A path of this machine; - is standard input or output."""

Count = NewType("Count", int)
"""A whole number from 0."""

ANY_VERSION = -1

HERE, ROOT = Path("."), Path("/")
"""What a path is if none is given."""

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(slots=True, frozen=True)
class Parameter:
    name: str
    kind: type | NewType  # str, int, bool, Path, File, Count
    option: bool
    letters: tuple[str, ...]  # of an option, beside its name
    required: bool
    many: bool
    default: Any

    @property
    def flags(self) -> list[str]:
        return [*(f"-{letter}" for letter in self.letters), f"--{self.name.replace('_', '-')}"]


@dataclass(slots=True, frozen=True)
class Command:
    name: str  # one word or two, such as "acl get"
    function: Callable[..., Any]
    changes: bool  # what --read-only refuses
    aliases: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    summary: str
    text: str
    options: dict[str, str]
    examples: tuple[str, ...]

    def usage(self) -> str:
        return " ".join([self.name, *map(_shown, self.parameters)])

    def parse(self, words: list[str]) -> dict[str, Any]:
        """The function's arguments. Raises UsageError."""
        parser = _Parser(self)
        for each in self.parameters:
            _add(parser, each)
        return vars(parser.parse_intermixed_args(_sheltered(words)))


MARK = "_shell_command"


def command(
    *, name: str | None = None, aliases: Iterable[str] = (), changes: bool = False
) -> Callable[[Function], Function]:
    """Mark a function as a command; its name is the function's unless another is given."""

    def mark(function: Function) -> Function:
        setattr(function, MARK, (name or function.__name__, changes, tuple(aliases)))
        return function

    return mark


def read_command(function: Callable[..., Any]) -> Command:
    """The command that a marked function is."""
    name, changes, aliases = getattr(function, MARK)
    hints = get_type_hints(function, include_extras=True)
    parameters = list(inspect.signature(function).parameters.values())[1:]
    summary, text, options, examples = _read_docstring(inspect.getdoc(function) or "")
    return Command(
        name, function, changes, aliases, tuple(_parameter(each, hints[each.name]) for each in parameters),
        summary, text, options, examples,
    )  # fmt: skip


class Commands:
    """All commands by every name they have."""

    def __init__(
        self, families: Mapping[str, Iterable[Callable[..., Any]]], refused: Mapping[str, str] | None = None
    ) -> None:
        """`refused`: names that people may know from elsewhere, and what there is here instead."""
        self.refused = {name.lower(): sentence for name, sentence in (refused or {}).items()}
        self.families = {title: [read_command(each) for each in family] for title, family in families.items()}
        self.by_name: dict[str, Command] = {}
        for family in self.families.values():
            for each in family:
                for name in (each.name, *each.aliases):
                    assert name not in self.by_name, f"two commands are called {name}"
                    self.by_name[name] = each

    def find(self, words: list[str]) -> tuple[Command, list[str]]:
        """The command that a line begins with, and the words behind it. Raises UsageError."""
        for count in (2, 1):
            name = " ".join(words[:count])
            if len(words) >= count and name in self.by_name:
                return self.by_name[name], words[count:]
        by_lower = {name.lower(): found for name, found in self.by_name.items()}
        if words[0].lower() in by_lower:
            return by_lower[words[0].lower()], words[1:]
        if words[0].lower() in self.refused:
            raise UsageError(f"there is no {words[0]} here: {self.refused[words[0].lower()]}")
        seconds = [each.name for each in self.beginning_with(words[0])]
        if seconds:
            raise UsageError(f"{words[0]} needs a second word: {' or '.join(seconds)}")
        near = difflib.get_close_matches(words[0], self.by_name, n=1)
        hint = f"is {near[0]} meant?" if near else "help lists them all"
        raise UsageError(f"{words[0]!r} is not a command; {hint}")

    def beginning_with(self, word: str) -> list[Command]:
        """Those of two words of which this is the first."""
        return [each for name, each in self.by_name.items() if name.startswith(f"{word.lower()} ")]


# ---- lines

_PIECE = re.compile(
    r"""(?P<space>[ \t\r\n]+) | (?P<plain>[^ \t\r\n'"\\]+) | \\(?P<letter>.) | '(?P<single>[^']*)'
    | "(?P<double>[^"\\]*(?:\\.[^"\\]*)*)" """,
    re.VERBOSE | re.DOTALL,
)
_TO_SINGLE = re.compile(r"[^']*'")
_TO_DOUBLE = re.compile(r'[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_ESCAPED = re.compile(r'\\(["\\])')


def split(line: str) -> list[str]:
    """A line's words, with quotes as a POSIX shell has them. Raises UsageError.

    As shlex.split, which takes a minute for a value of a megabyte, and nothing else is done meanwhile.
    """
    words: list[str] = []
    word: list[str] | None = None
    end = 0
    while end < len(line):
        piece = _PIECE.match(line, end)
        if piece is None:
            quote = line[end]
            what = "there is nothing behind the last \\" if quote == "\\" else f"the quote {quote} is not closed"
            raise UsageError(f"the line cannot be taken apart: {what}; quote with '...' or \"...\"")
        end, kind, text = piece.end(), piece.lastgroup, piece[piece.lastindex or 0]
        if kind != "space":
            word = [] if word is None else word
            word.append(_ESCAPED.sub(r"\1", text) if kind == "double" else text)
        elif word is not None:
            words.append("".join(word))
            word = None
    if word is not None:
        words.append("".join(word))
    return words


def commands_of(text: str) -> list[str]:
    """The commands of a text, one a line; a line break within quotes belongs to its command."""
    found: list[str] = []
    pending, quote = "", ""
    for line in re.split(r"(?<=\n)|(?<=\r)(?!\n)", text):
        quote = open_quote(line, quote) if pending or not is_comment(line) else ""
        pending += line
        if not quote:
            found.append(pending.strip("\r\n"))
            pending = ""
    return [each for each in [*found, pending] if each.strip()]


def is_comment(line: str) -> bool:
    return line.lstrip().startswith("#")


def open_quote(line: str, quote: str = "") -> str:
    """The quote that is open at the end of a line, "" if none is, where `quote` was open at its beginning."""
    end = 0
    if quote:
        closing = (_TO_SINGLE if quote == "'" else _TO_DOUBLE).match(line)
        if closing is None:
            return quote
        end = closing.end()
    while end < len(line):
        piece = _PIECE.match(line, end)
        if piece is None:
            return line[end] if line[end] != "\\" else ""
        end = piece.end()
    return ""


# ---- signatures


def _parameter(given: inspect.Parameter, hint: Any) -> Parameter:
    letters: tuple[str, ...] = ()
    if get_origin(hint) is Annotated:
        hint, *letters_found = get_args(hint)
        letters = tuple(letters_found)
    if get_origin(hint) in (types.UnionType, Union):  # X | None
        hint = next(each for each in get_args(hint) if each is not types.NoneType)
    required = given.default is inspect.Parameter.empty and given.kind is not inspect.Parameter.VAR_POSITIONAL
    many = get_origin(hint) is list
    if many:
        (hint,) = get_args(hint)
    option = given.kind is inspect.Parameter.KEYWORD_ONLY
    return Parameter(given.name, hint, option, letters, required, many, None if required else given.default)


def _add(parser: argparse.ArgumentParser, each: Parameter) -> None:
    if each.option and each.kind is bool:
        parser.add_argument(*each.flags, dest=each.name, action="store_true", default=False)
        return
    kind = _READ.get(each.kind, _exposed)
    if each.option:
        parser.add_argument(*each.flags, dest=each.name, type=kind, default=each.default, metavar=each.name.upper())
    elif each.many:
        parser.add_argument(each.name, type=kind, nargs="+" if each.required else "*", default=each.default)
    else:
        parser.add_argument(each.name, type=kind, nargs=None if each.required else "?", default=each.default)


_SHELTER = "\0-"
"""Put before what stands behind --, so that argparse takes none of it for an option. No line holds a NUL by itself."""


def _sheltered(words: list[str]) -> list[str]:
    if "--" not in words:
        return words
    at = words.index("--")
    return [*words[:at], *(_SHELTER + word for word in words[at + 1 :])]


def _exposed(text: str) -> str:
    return text.removeprefix(_SHELTER)


def _integer(text: str) -> int:
    if not re.fullmatch(r"[+-]?[0-9]{1,19}", _exposed(text)) or abs(number := int(_exposed(text))) >= 1 << 63:
        raise argparse.ArgumentTypeError(f"{_exposed(text)!r} is no whole number, or too large a one")
    return number


def _count(text: str) -> int:
    number = _integer(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{number} is below 0")
    return number


_READ: dict[object, Callable[[str], Any]] = {int: _integer, Count: _count}


class _Parser(argparse.ArgumentParser):
    def __init__(self, of: Command) -> None:
        super().__init__(prog=of.name, add_help=False, allow_abbrev=False)
        self._usage = of.usage()

    def error(self, message: str) -> NoReturn:
        hint = "; put -- before a value that begins with -" if message.startswith("unrecognized arguments: -") else ""
        message = message.replace(_SHELTER, "")
        raise UsageError(f"{self.prog}: {message}{hint}; it is used as: {self._usage}")


def _shown(each: Parameter) -> str:
    if each.option:
        flag = each.flags[0]
        return f"[{flag}]" if each.kind is bool else f"[{flag} {each.name.upper()}]"
    name = each.name.upper() + ("..." if each.many else "")
    return name if each.required else f"[{name}]"


# ---- docstrings


def _read_docstring(doc: str) -> tuple[str, str, dict[str, str], tuple[str, ...]]:
    summary, _, rest = doc.partition("\n")
    parts: dict[str, list[str]] = {"": []}
    current = parts[""]
    for line in rest.splitlines():
        if line in ("Options:", "Examples:"):
            current = parts[line] = []
        else:
            current.append(line)
    options: dict[str, str] = {}
    for line in parts.get("Options:", []):
        name, colon, meaning = line.strip().partition(": ")
        if colon:
            options[name] = meaning
    examples = tuple(line.strip() for line in parts.get("Examples:", []) if line.strip())
    return summary, "\n".join(parts[""]).strip(), options, examples


def _default_of(each: Parameter) -> str:
    if each.required or each.default in (None, False, "", ANY_VERSION):
        return ""
    return " (default: where the shell is)" if each.default == HERE else f" (default {each.default})"


def full_help(of: Command) -> str:
    """All that is known of one command, as text."""
    lines = [of.usage(), "", of.summary]
    if of.text:
        lines += ["", of.text]
    shown = {each.name: ", ".join(each.flags) if each.option else each.name.upper() for each in of.parameters}
    width = max(map(len, shown.values()), default=0)
    if shown:
        lines.append("")
    for each in of.parameters:
        meaning = of.options.get(each.name, "the znode" if each.kind is Path else "")
        lines.append(f"  {shown[each.name]:<{width}}  {meaning}{_default_of(each)}".rstrip())
    if of.examples:
        lines += ["", "examples:", *(f"  {line}" for line in of.examples)]
    if of.aliases:
        lines += ["", f"also: {', '.join(of.aliases)}"]
    return "\n".join(lines)
