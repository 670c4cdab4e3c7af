"""What language a value is written in, for its colours: guessed from its form, nothing is parsed but JSON."""

import json
import re

_KEY = r"""(?:[A-Za-z0-9_][\w./-]*|"[^"]*"|'[^']*')"""
_YAML_LINE = re.compile(rf"(?:{_KEY}:(?:[ \t].*)?|- .*|-|#.*|---.*|\.\.\.)$")
_YAML_KEY = re.compile(rf"^[ \t]*(?:- +)*{_KEY}:(?:[ \t]|$)", re.MULTILINE)


def language_of(text: str) -> str | None:
    """json, yaml, or None: plain text."""
    if _is_json(text):
        return "json"
    return "yaml" if _is_yaml(text) else None


def _is_json(text: str) -> bool:
    if not text.lstrip().startswith(("{", "[")):
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _is_yaml(text: str) -> bool:
    """Each line that is not indented is a key, an item of a list, a comment or a mark, and there is a key."""
    lines = [line for line in text.splitlines() if line.strip()]
    outer = [line for line in lines if not line[0].isspace()]
    return (
        bool(outer)
        and not lines[0][0].isspace()
        and all(_YAML_LINE.match(line.rstrip()) for line in outer)
        and _YAML_KEY.search(text) is not None
    )
