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
import shlex
import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, NewType, NoReturn, TypeVar, Union, get_args, get_origin, get_type_hints

from coord.shell.errors import UsageError

Path = NewType("Path", str)
"""A path of a znode as it was typed: completed from the live tree, made absolute by the command."""

File = NewType("File", str)
"""A path of this machine; - is standard input or output."""

HERE, ROOT = Path("."), Path("/")
"""What a path is if none is given."""

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(slots=True, frozen=True)
class Parameter:
    name: str
    kind: type | NewType  # str, int, float, bool, Path, File
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
        return vars(parser.parse_intermixed_args(words))


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

    def __init__(self, families: Mapping[str, Iterable[Callable[..., Any]]]) -> None:
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
        seconds = [name for name in self.by_name if name.startswith(f"{words[0]} ")]
        if seconds:
            raise UsageError(f"{words[0]} needs a second word: {' or '.join(seconds)}")
        near = difflib.get_close_matches(words[0], self.by_name, n=1)
        hint = f"is {near[0]} meant?" if near else "help lists them all"
        raise UsageError(f"{words[0]!r} is not a command; {hint}")


def split(line: str) -> list[str]:
    """A line's words, with quotes as a POSIX shell has them. Raises UsageError."""
    try:
        return shlex.split(line)
    except ValueError as error:
        raise UsageError(f"the line cannot be taken apart: {str(error).lower()}; quote with '...' or \"...\"") from None


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
    kind: Any = each.kind if each.kind in (int, float) else str
    if each.option:
        parser.add_argument(*each.flags, dest=each.name, type=kind, default=each.default, metavar=each.name.upper())
    elif each.many:
        parser.add_argument(each.name, type=kind, nargs="+" if each.required else "*", default=each.default)
    else:
        parser.add_argument(each.name, type=kind, nargs=None if each.required else "?", default=each.default)


class _Parser(argparse.ArgumentParser):
    def __init__(self, of: Command) -> None:
        super().__init__(prog=of.name, add_help=False, allow_abbrev=False)
        self._usage = of.usage()

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{self.prog}: {message}; it is used as: {self._usage}")


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
        meaning = of.options.get(each.name, "")
        default = f" (default {each.default})" if each.default not in (None, False, "") and not each.required else ""
        lines.append(f"  {shown[each.name]:<{width}}  {meaning}{default}".rstrip())
    if of.examples:
        lines += ["", "examples:", *(f"  {line}" for line in of.examples)]
    if of.aliases:
        lines += ["", f"also: {', '.join(of.aliases)}"]
    return "\n".join(lines)
