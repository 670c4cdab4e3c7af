"""All commands, by family, in the order in which `help` lists them."""

from coord.shell import access, copying, ensemble, moving, reading, watching, writing
from coord.shell.errors import UsageError
from coord.shell.grammar import Commands, command, full_help
from coord.shell.state import Shell
from coord.shell.values import Help

LEAVING = frozenset(("exit", "quit", "close"))


@command(name="help", aliases=("?",))
async def help_(shell: Shell, words: list[str] = []) -> Help:  # noqa: B006  it is never changed
    """All commands, or all about one.

    Options:
        words: the command

    Examples:
        help
        help create
    """
    if words and words[0].lower() in LEAVING:
        return Help(
            words[0], "exit, quit, close, or Ctrl-D: leave the shell. Its session ends, and its ephemeral znodes."
        )
    if len(words) == 1 and (family := COMMANDS.beginning_with(words[0])):
        return Help(words[0], "\n\n".join(full_help(each) for each in family))
    if words:
        found, rest = COMMANDS.find(words)
        if rest:
            raise UsageError(f"help: there is no command {' '.join(words)!r}; help {found.name} tells of {found.name}")
        return Help(found.name, full_help(found))
    width = max(len(each.name) for family in COMMANDS.families.values() for each in family)
    lines = ["first steps", *(f"  {line:<{STEP_LETTERS}}  {meaning}" for line, meaning in FIRST_STEPS), ""]
    for title, family in COMMANDS.families.items():
        lines += [title, *(f"  {each.name:<{width}}  {each.summary}" for each in family), ""]
    lines.append("help COMMAND tells more, with examples. Tab completes commands, options and paths.")
    lines.append("Quote what has spaces, as in a POSIX shell. Ctrl-C ends a command, Ctrl-D or exit the shell.")
    return Help("help", "\n".join(lines))


FIRST_STEPS = (
    ("create -p /app/config '{\"x\": 1}'", "make a znode, and what is missing above it"),
    ("ls -l /app", "what is there: kind, version, bytes, children, time, name"),
    ("get /app/config", "its value; stat tells all else"),
    ("set /app/config '{\"x\": 2}'", "give it another"),
    ("watch -R /app", "what changes from now on, until Ctrl-C"),
    ("who /locks/db", "which session holds a lock, and from where"),
    ("rm -r /app", "delete a subtree, after asking"),
)
STEP_LETTERS = max(len(line) for line, _ in FIRST_STEPS)


COMMANDS = Commands(
    {
        "look": (reading.ls, reading.get, reading.stat, reading.tree, reading.find, reading.du, reading.count),
        "change": (writing.create, writing.set_, writing.edit, writing.rm, writing.deleteall, writing.txn),
        "subtrees": (copying.cp, copying.mv, copying.diff, copying.export, copying.import_),
        "wait": (watching.watch, watching.add_watch),
        "access and limits": (
            access.whoami, access.auth, access.acl_get, access.acl_set, access.quota_get, access.quota_set,
            access.quota_rm,
        ),
        "the ensemble": (
            ensemble.status, ensemble.leader, ensemble.members, ensemble.digest, ensemble.sessions, ensemble.ephemerals,
            ensemble.who, ensemble.sync,
        ),
        "the shell": (
            moving.cd, moving.pwd, moving.history, moving.redo, moving.connect, moving.version, help_,
        ),
    },
    {
        "reconfig": "which servers there are stands in their settings (--ensemble); members shows it",
        "removewatches": "no watch outlives its command: Ctrl-C ends a watch, and -w waits for one change",
        "printwatches": "watch tells what changes, until Ctrl-C; -w waits for the next change",
    },
)  # fmt: skip
