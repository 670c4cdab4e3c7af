"""A process that works: `python work_worker.py HOSTS FILE WORKERS LIBRARY`, until its input ends.

It takes tasks, counts them, and owns some of the parts. It appends lines to the file, each in one write, so that the
lines of all processes are in the order of what happened: `begin TASK PID` and `done TASK PID`, `count NUMBER PID`,
`own PART PID` and `free PART PID`.
"""

import os
import random
import sys
from collections.abc import Awaitable, Callable

import anyio

import coord
from recipes import Counter, LockLost, Owned, Partitioner, TaskQueue

PARTS = [f"part-{number}" for number in range(6)]


class Worker:
    def __init__(self, hosts: str, file: int, stopping: anyio.Event) -> None:
        self._hosts = hosts
        self._file = file
        self._stopping = stopping

    def note(self, what: str, which: object) -> None:
        os.write(self._file, f"{what} {which} {os.getpid()}\n".encode())

    async def live(self, use: Callable[[coord.Client], Awaitable[None]]) -> None:
        """Again and again, with a new session whenever one is lost."""
        while not self._stopping.is_set():
            try:
                async with coord.connect(self._hosts, session_timeout=2) as client:
                    await use(client)
            except (coord.SessionLostError, coord.ConnectError, LockLost):
                continue

    async def work(self, client: coord.Client) -> None:
        tasks, counter = TaskQueue(client, "/tasks", tries=1000), Counter(client, "/counter")
        while not self._stopping.is_set():
            async with tasks.take() as task:
                self.note("begin", task.name)
                await anyio.sleep(random.random() * 0.03)
                async with client.transaction() as txn:
                    txn.create(f"/results/{task.name}")
                    task.acknowledge_with(txn)
                self.note("done", task.name)
            self.note("count", await counter.add())

    async def own(self, client: coord.Client) -> None:
        await Partitioner(client, "/parts", PARTS).run(self.serve)

    async def serve(self, owned: Owned) -> None:
        self.note("own", owned.item)
        try:
            await anyio.sleep_forever()
        finally:
            self.note("free", owned.item)


async def main(hosts: str, path: str, workers: int) -> None:
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    stopping = anyio.Event()
    worker = Worker(hosts, file, stopping)
    async with anyio.create_task_group() as tasks:
        for _ in range(workers):
            tasks.start_soon(worker.live, worker.work)
        tasks.start_soon(worker.live, worker.own)
        await anyio.to_thread.run_sync(sys.stdin.read)
        stopping.set()
        tasks.cancel_scope.cancel()


if __name__ == "__main__":
    anyio.run(main, sys.argv[1], sys.argv[2], int(sys.argv[3]), backend=sys.argv[4])
