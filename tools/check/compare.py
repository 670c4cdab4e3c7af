"""Whether the reply a client saw is the one a model gives."""

from collections.abc import Sequence

from coord.model.replies import (
    AclReply,
    ChildrenReply,
    CountReply,
    Created,
    DataReply,
    EphemeralsReply,
    Failed,
    MultiDone,
    MultiReadDone,
    Reply,
    Stat,
)
from tools.check.history import STAT_FIELDS, UNTOLD, StatSeen, brief

TIMES = ("ctime", "mtime")
"""Known from the servers' log only: without it the model's clock stands still."""


def difference(seen: Reply, model: Reply, times: bool) -> str | None:
    """What is other than it should be, as the end of a sentence; None if the replies agree."""
    if isinstance(seen, Failed) or isinstance(model, Failed):
        return _difference_of_errors(seen, model)
    if type(seen) is not type(model):
        return f"it was answered with a {type(seen).__name__}, and should be with a {type(model).__name__}"
    if isinstance(seen, MultiDone | MultiReadDone) and isinstance(model, MultiDone | MultiReadDone):
        return _difference_of_steps(seen.replies, model.replies, times)
    if isinstance(seen, Created) and isinstance(model, Created) and seen.path != model.path:
        return f"it was told the path {seen.path}, and should be {model.path}"
    if isinstance(seen, DataReply) and isinstance(model, DataReply) and (seen.data or b"") != (model.data or b""):
        return f"it saw {brief(seen.data)}, and should see {brief(model.data)}"
    if isinstance(seen, ChildrenReply) and isinstance(model, ChildrenReply):
        found = _difference_of_names("children", seen.names, model.names)
        if found is not None:
            return found
    if isinstance(seen, EphemeralsReply) and isinstance(model, EphemeralsReply):
        return _difference_of_names("ephemerals", seen.paths, model.paths)
    if isinstance(seen, AclReply) and isinstance(model, AclReply) and tuple(seen.acl) != tuple(model.acl):
        return f"it saw the ACL {seen.acl}, and should see {model.acl}"
    if isinstance(seen, CountReply) and isinstance(model, CountReply) and seen.count != model.count:
        return f"it counted {seen.count} znodes, and should count {model.count}"
    stat = getattr(seen, "stat", UNTOLD)
    return None if stat == UNTOLD else _difference_of_stats(stat, model.stat, times)  # type: ignore[union-attr]


def _difference_of_errors(seen: Reply, model: Reply) -> str | None:
    codes = [each.code if isinstance(each, Failed) else 0 for each in (seen, model)]
    if isinstance(seen, Failed) and isinstance(model, Failed) and codes[0] == codes[1]:
        return None
    words = [f"error {code}" if isinstance(each, Failed) else "success"
             for each, code in zip((seen, model), codes, strict=True)]  # fmt: skip
    return f"it was answered with {words[0]}, and should be with {words[1]}"


def _difference_of_steps(seen: Sequence[Reply], model: Sequence[Reply], times: bool) -> str | None:
    if len(seen) != len(model):
        return f"it was answered with {len(seen)} results, and has {len(model)} steps"
    for number, (one, other) in enumerate(zip(seen, model, strict=True), 1):
        found = difference(one, other, times)
        if found is not None:
            return f"in its step {number} {found}"
    return None


def _difference_of_names(what: str, seen: Sequence[str], model: Sequence[str]) -> str | None:
    missing, extra = sorted(set(model) - set(seen)), sorted(set(seen) - set(model))
    if missing:
        return f"it did not see {missing[0]} among the {what}"
    if extra:
        return f"it saw {extra[0]} among the {what}, which should not be there"
    if len(seen) != len(model):
        return f"it saw {len(seen)} {what}, and there are {len(model)}"
    return None


def _difference_of_stats(seen: Stat, model: Stat, times: bool) -> str | None:
    for name in STAT_FIELDS:
        if times or name not in TIMES:
            one, other = getattr(seen, name), getattr(model, name)
            if one != other:
                shown = [f"{each:#x}" if "zxid" in name or "owner" in name else str(each) for each in (one, other)]
                return f"it saw {name} {shown[0]}, and should see {shown[1]}"
    return None


def stat_of(reply: Reply) -> StatSeen | None:
    """The stat a client was shown, if any."""
    stat = getattr(reply, "stat", None)
    return stat if isinstance(stat, StatSeen) and stat != UNTOLD else None
