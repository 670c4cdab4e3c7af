"""Arguments with a meaning, read by argparse: what is wrong with them is an error of the command line."""

import argparse
from collections.abc import Callable
from typing import TypeVar

from coord.shell.errors import UsageError

T = TypeVar("T")


def argument(read: Callable[[str], T]) -> Callable[[str], T]:
    """For argparse's `type`: what `read` refuses with UsageError."""

    def parse(text: str) -> T:
        try:
            return read(text)
        except UsageError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return parse
