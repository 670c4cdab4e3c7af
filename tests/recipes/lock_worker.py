"""A process of contenders for one lock: `python lock_worker.py HOSTS FILE CONTENDERS LIBRARY`, until its input ends.

Each body appends a line to the file when it begins and one when it ends: `enter|leave PID CONTENDER TOKEN`. A line is
one write at the end of the file, so the lines of all processes are in the order of what happened.
"""

import os
import random
import sys

import anyio

import coord
from recipes import Lock, LockLost


async def contend(hosts: str, file: int, number: int, stopping: anyio.Event) -> None:
    me = f"{os.getpid()} {number}"
    while not stopping.is_set():
        try:
            async with coord.connect(hosts, session_timeout=6) as client:
                lock = Lock(client, "/contended", name=me)
                while not stopping.is_set():
                    try:
                        async with lock as held:
                            os.write(file, f"enter {me} {held.token}\n".encode())
                            try:
                                await anyio.sleep(random.random() * 0.01)
                            finally:
                                os.write(file, f"leave {me} {held.token}\n".encode())
                    except LockLost:
                        continue
        except (coord.SessionLostError, coord.ConnectError):
            continue


async def main(hosts: str, path: str, contenders: int) -> None:
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    stopping = anyio.Event()
    async with anyio.create_task_group() as tasks:
        for number in range(contenders):
            tasks.start_soon(contend, hosts, file, number, stopping)
        await anyio.to_thread.run_sync(sys.stdin.read)
        stopping.set()


if __name__ == "__main__":
    anyio.run(main, sys.argv[1], sys.argv[2], int(sys.argv[3]), backend=sys.argv[4])
