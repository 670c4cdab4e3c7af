"""Text from elsewhere on its way to a terminal: nothing in it may move the cursor, or turn the order of letters."""

import re

_HARMFUL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def harmless(text: str) -> str:
    """The same, with a mark in the place of each control character but line break and tab; as long as it was."""
    return _HARMFUL.sub("\ufffd", text) if _HARMFUL.search(text) else text
