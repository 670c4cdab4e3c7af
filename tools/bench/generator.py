"""The load: many connections, each with a window of requests in flight, driven by one thread with epoll.

It must be far cheaper than the servers, since it shares their processors: requests are encoded before the
clock starts (loads.py), a window leaves in one send, replies are checked a whole received chunk at a time,
and no object is made for a request. What comes back is still checked: every reply's length, xid (so the
order of replies, too) and error. Errors and lost connections are counted and belong to the result.
"""

import itertools
import select
import socket
import struct
import time
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from tools.bench.loads import HEADER_BYTES, Ring

# Everyone receives into this one buffer: a fresh 256 KiB for each call costs 35 us more (measured), since the
# allocator asks the kernel for so much at once and gives it back.
_BUFFER = memoryview(bytearray(262_144))
_POLL_S = 0.5
_HEADER = struct.Struct("!iiqi")
DRAIN_TIMEOUT_S = 20.0


class Flow:
    """One connection: its socket, its ring of requests, and what is in flight."""

    __slots__ = (
        "_low_xids",
        "_received",
        "_replied",
        "_stride",
        "_times",
        "budget",
        "error_codes",
        "fd",
        "first_number",
        "in_flight",
        "lost",
        "ring",
        "sent",
        "stream",
        "unsent",
        "window",
    )

    def __init__(
        self, stream: socket.socket, ring: Ring, window: int, budget: int | None = None, first_number: int = 0
    ) -> None:
        """`stream` has an open session. At most `budget` requests are sent; numbered ones count from `first_number`."""
        assert window <= ring.size, f"a window of {window} needs a ring of as many frames, not {ring.size}"
        self.stream = stream
        self.fd = stream.fileno()
        self.ring = ring
        self.window = window
        self.budget = budget
        self.first_number = first_number
        self.in_flight = 0
        self.unsent = b""  # what the kernel did not take
        self.error_codes: Counter[int] = Counter()
        self.lost = ""  # why the connection ended early
        self.sent = 0
        self._replied = 0
        self._received = b""  # an incomplete frame
        self._times: deque[tuple[float, int]] = deque()  # when how many requests were sent
        lengths = set(ring.reply_bytes)
        # Replies all of one length are checked by columns, if two bytes tell it.
        self._stride = lengths.pop() if len(lengths) == 1 and max(lengths) <= 0xFFFF else 0
        self._low_xids = bytes(xid & 0xFF for xid in range(1, ring.size + 1)) * 2

    def send(self, count: int, now: float) -> None:
        """Send the next `count` requests, as far as the budget goes."""
        if self.budget is not None:
            count = min(count, self.budget - self.sent)
        if count <= 0:
            return
        ring = self.ring
        first = self.sent % ring.size
        if ring.digits_at is not None:
            number = self.first_number + self.sent
            for place in range(first, first + count):
                at = ring.starts[place] + ring.digits_at
                ring.frames[at : at + 10] = b"%010d" % ring.number(number)
                number += 1
        data = memoryview(ring.frames)[ring.starts[first] : ring.starts[first + count]]
        self.sent += count
        self.in_flight += count
        self._times.append((now, count))
        if self.unsent:
            self.unsent += data
            return
        try:
            taken = self.stream.send(data)
        except BlockingIOError:
            taken = 0
        except OSError as error:
            self.lost = str(error)
            return
        if taken < len(data):
            self.unsent = bytes(data[taken:])

    def send_rest(self) -> None:
        """The kernel has room again."""
        try:
            taken = self.stream.send(self.unsent)
        except BlockingIOError:
            return
        except OSError as error:
            self.lost = str(error)
            return
        self.unsent = self.unsent[taken:]

    def receive(self) -> int:
        """Take what has come; how many replies were completed by it."""
        try:
            size = self.stream.recv_into(_BUFFER)
        except BlockingIOError:
            return 0
        except OSError as error:
            self.lost = str(error)
            return 0
        if not size:
            self.lost = "closed by the server"
            return 0
        data = self._received + _BUFFER[:size] if self._received else bytes(_BUFFER[:size])
        count = self._whole_columns(data)
        if count:
            self._received = data[count * self._stride :]
        else:
            count = self._one_by_one(data)
        self._replied += count
        self.in_flight -= count
        return count

    def _whole_columns(self, data: bytes) -> int:
        """How many replies stand in `data` if all are of the expected length, in order, and fine; else 0.

        Errors are negative numbers, so that one byte of theirs tells. Five slices for a hundred replies.
        """
        stride = self._stride
        if not stride:
            return 0
        count = len(data) // stride
        whole = count * stride
        first = self._replied % self.ring.size
        if (
            count <= self.in_flight
            and data[2:whole:stride] == bytes((stride - 4 >> 8,)) * count
            and data[3:whole:stride] == bytes((stride - 4 & 0xFF,)) * count
            and data[7:whole:stride] == self._low_xids[first : first + count]
            and not any(data[16:whole:stride])
        ):
            return count
        return 0

    def _one_by_one(self, data: bytes) -> int:
        """The same by reading each header, whatever it holds."""
        ring, size, at, count, end = self.ring, self.ring.size, 0, 0, len(data)
        while end - at >= HEADER_BYTES:
            length, xid, _, error = _HEADER.unpack_from(data, at)
            if at + 4 + length > end:
                break
            place = (self._replied + count) % size
            if xid != place + 1:
                self.lost = f"a reply with xid {xid} came where {place + 1} was next"
                break
            if error:
                self.error_codes[error] += 1
            elif 4 + length != ring.reply_bytes[place]:
                self.lost = f"a reply of {4 + length} bytes came where {ring.reply_bytes[place]} were expected"
                break
            at += 4 + length
            count += 1
        self._received = data[at:]
        return count

    def latencies(self, count: int, now: float, into: list[tuple[float, int]]) -> None:
        """Add (seconds, replies) for the `count` replies that have come now."""
        times = self._times
        while count:
            sent_at, waiting = times[0]
            if waiting > count:
                times[0] = (sent_at, waiting - count)
                into.append((now - sent_at, count))
                return
            times.popleft()
            into.append((now - sent_at, waiting))
            count -= waiting


@dataclass(slots=True)
class Outcome:
    """What one run of the generator saw."""

    seconds: float = 0.0
    replies: int = 0
    latencies: list[tuple[float, int]] = field(default_factory=list, repr=False)  # (seconds, replies)
    error_codes: Counter[int] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)  # one sentence a lost connection
    generator_cpu_s: float = 0.0

    @property
    def per_second(self) -> float:
        return self.replies / self.seconds if self.seconds else 0.0

    @property
    def errors(self) -> int:
        """Error replies and lost connections."""
        return self.error_codes.total() + len(self.lost)

    def percentiles(self, *shares: float) -> list[float]:
        """The latency, in seconds, within which this share of replies came; 0 if none came."""
        self.latencies.sort()
        ranks = list(itertools.accumulate(count for _, count in self.latencies))
        if not ranks:
            return [0.0 for _ in shares]
        return [self.latencies[bisect_left(ranks, share * ranks[-1])][0] for share in shares]


def run(flows: Sequence[Flow], seconds: float, warm_up_s: float = 0.0) -> Outcome:
    """Keep every window full for `warm_up_s + seconds`, or until all budgets are spent.

    Then wait for what is in flight. Only replies between warm-up and end are counted. Budgets are for preparing
    and cleaning up.
    """
    outcome = Outcome()
    epoll = select.epoll()
    by_fd = {flow.fd: flow for flow in flows}
    writing: set[int] = set()
    now = time.perf_counter()
    for flow in flows:
        flow.stream.setblocking(False)
        epoll.register(flow.fd, select.EPOLLIN)
        flow.send(flow.window, now)
    measured_from, ends_at = now + warm_up_s, now + warm_up_s + seconds
    cpu = time.process_time()
    counting, sending = not warm_up_s, True
    while by_fd:
        for fd, mask in epoll.poll(_POLL_S):
            flow = by_fd[fd]
            if mask & select.EPOLLOUT:
                flow.send_rest()
            if mask & ~select.EPOLLOUT:
                count = flow.receive()
                now = time.perf_counter()
                if count:
                    if counting:
                        outcome.replies += count
                        flow.latencies(count, now, outcome.latencies)
                    else:
                        flow.latencies(count, now, [])
                    if sending:
                        flow.send(count, now)
            if flow.unsent and fd not in writing:
                writing.add(fd)
                epoll.modify(fd, select.EPOLLIN | select.EPOLLOUT)
            elif fd in writing and not flow.unsent:
                writing.discard(fd)
                epoll.modify(fd, select.EPOLLIN)
            if flow.lost or not flow.in_flight:
                epoll.unregister(fd)
                del by_fd[fd]
        now = time.perf_counter()
        if not counting and sending and now >= measured_from:
            counting, measured_from, cpu = True, now, time.process_time()
            ends_at = now + seconds
        if sending and now >= ends_at:
            outcome.seconds, outcome.generator_cpu_s = now - measured_from, time.process_time() - cpu
            counting = sending = False
        if now >= ends_at + DRAIN_TIMEOUT_S:
            for flow in by_fd.values():
                flow.lost = f"{flow.in_flight} requests were not answered within {DRAIN_TIMEOUT_S:g} s"
            break
    if sending:  # the budgets were spent, or all connections lost, before the time was over
        outcome.seconds, outcome.generator_cpu_s = time.perf_counter() - measured_from, time.process_time() - cpu
    epoll.close()
    for flow in flows:
        flow.stream.setblocking(True)
        outcome.error_codes += flow.error_codes
        if flow.lost:
            outcome.lost.append(flow.lost)
    return outcome
