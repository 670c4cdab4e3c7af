"""A measuring process beside the one that gives orders: started, asked what it has found, ended.

The ticker and the paced load are such: what they measure must not wait for whoever starts and kills servers.
A module that is run so prints READY when it has begun, works until its standard input ends, and then prints one line
of JSON. It ends by itself when its parent does.
"""

import json
import subprocess
import sys
from typing import Any, Self

READY = "ready"
_END_S = 60.0


class Beside:
    """`python -m tools.bench.MODULE ARGUMENTS`, from entering the context to `end`."""

    def __init__(self, module: str, *arguments: object) -> None:
        command = [sys.executable, "-m", f"tools.bench.{module}", *map(str, arguments)]
        self._child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> Self:
        assert self._child.stdout is not None
        if self._child.stdout.readline().strip() != READY:
            self._kill()
            raise OSError(f"{self._child.args!r} ended before it began; its error is above")
        return self

    def end(self) -> Any:
        """What it has found."""
        found, _ = self._child.communicate(timeout=_END_S)
        if self._child.returncode:
            raise OSError(f"{self._child.args!r} ended with status {self._child.returncode}; its error is above")
        return json.loads(found)

    def __exit__(self, *raised: object) -> None:
        self._kill()

    def _kill(self) -> None:
        self._child.kill()
        self._child.wait()
        for pipe in (self._child.stdin, self._child.stdout):
            if pipe is not None:
                pipe.close()
