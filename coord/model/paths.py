"""What a znode's path may be, and how paths are taken apart."""

import re

from coord.model.errors import BadArgumentsError

_FORBIDDEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\ud800-\uf8ff\ufff0-\uffff]"  # control, surrogate, private use, specials
    r"|//|/\.\.?(?=/|\Z)"
)


def check_path(path: str) -> None:
    """Raise BadArgumentsError, with the reason, unless `path` is a legal absolute path.

    The rules are ZooKeeper's (PathUtils.validatePath).
    """
    if path == "/":
        return
    if not path:
        raise BadArgumentsError("the path is empty; give an absolute path such as /app")
    if path[0] != "/":
        raise BadArgumentsError(f"the path {path!r} does not start with '/'")
    if path[-1] == "/":
        raise BadArgumentsError(f"the path {path!r} ends with '/'; leave the last slash out")
    found = _FORBIDDEN.search(path)
    if found is not None:
        raise BadArgumentsError(
            f"the path {path!r} holds {found.group()!r} at position {found.start()}, which a path may not hold"
        )


def parent_of(path: str) -> str:
    """The parent's path: "/a" for "/a/b", "/" for "/a". The root has none: do not ask."""
    return path[: path.rfind("/")] or "/"


def name_of(path: str) -> str:
    """The last component: "b" for "/a/b"."""
    return path[path.rfind("/") + 1 :]
