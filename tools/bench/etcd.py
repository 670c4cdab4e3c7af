"""etcd beside the others: puts and gets through its gRPC, driven by h2load (Debian: nghttp2-client).

What h2load sends is made here: a gRPC frame around a few bytes of protobuf. One h2load for each server, its connections
spread as everybody's. Gets are `serializable`, which is etcd's word for what the others' reads are: local. A put that
failed would be answered without a body, so the bytes that came back tell whether all went well.
"""

import contextlib
import itertools
import math
import re
import shutil
import subprocess
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tools.bench.figures import Report, Scale
from tools.bench.rows import Measurement, tell
from tools.bench.shapes import Row
from tools.ensembles import Ensemble, EnsembleError, EtcdSoftware
from tools.ensembles.resources import cpu_s

ROWS = (
    Row("get", 10, 100),
    Row("get", 1, 1),
    Row("set", 10, 100),
    Row("set", 100, 100),
    Row("set", 100, 1),
    Row("set", 1, 1),
)
"""Gets first: once it has had many puts at a time, every get of etcd 3.4 copies a buffer that has grown with them."""
METHODS = {"set": "Put", "get": "Range"}
_KEYS = {"set": b"/bench/c000", "get": b"/bench/c001"}
_WARM_UP = Row("get", 10, 100)
_WARM_UP_S = 2
_BODY_BYTES_MIN = 10  # of a reply: a gRPC frame's head, and a header with the revision
_REPORT = re.compile(r"requests: \d+ total.* (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout")
_DATA = re.compile(r"\((\d+)\) data")


def missing() -> str | None:
    """Why etcd cannot be measured here; None if it can."""
    if shutil.which("h2load") is None:
        return "etcd is measured by h2load, and there is none on the PATH; apt install nghttp2-client"
    return EtcdSoftware().missing()


@contextlib.contextmanager
def started(folder: Path, servers: int = 3) -> Iterator[Ensemble]:
    software = EtcdSoftware()
    with Ensemble(software, folder, servers, software.mode) as ensemble:
        ensemble.start_all()
        ensemble.wait_serving()
        yield ensemble


def etcd(ensemble: Ensemble, folder: Path, scale: Scale, report: Report) -> None:
    """All rows that it has."""
    prepare(ensemble, folder)
    measure(ensemble, folder, _WARM_UP, _WARM_UP_S)
    for row in ROWS:
        if not scale.rows or row in scale.rows:
            tell(report, row, measure(ensemble, folder, row, math.ceil(scale.seconds)))


@dataclass(slots=True)
class Loaded:
    """What one h2load saw: the duration of each request in microseconds, and how many came to nothing."""

    durations_us: list[int]
    failed: int


def prepare(ensemble: Ensemble, folder: Path) -> None:
    """Put what is to be got."""
    body, log = folder / "request", folder / "h2load-0"
    body.write_bytes(_put(_KEYS["get"], 100))
    _result(_h2load(ensemble.members[1].client_address, body, log, Row("set", 1, 1), 1, "--requests=1"), log)


def measure(ensemble: Ensemble, folder: Path, row: Row, seconds: int) -> Measurement:
    leader = ensemble.wait_leader()
    ids = [*(id for id in ensemble.members if id != leader), leader]
    counts = {id: len(range(index, row.connections, len(ids))) for index, id in enumerate(ids)}
    body = folder / "request"
    body.write_bytes(_request(row))
    before = sum(cpu_s(ensemble.pid(id)) for id in ensemble.members)
    children = {
        id: _h2load(
            ensemble.members[id].client_address, body, folder / f"h2load-{id}", row, count, f"--duration={seconds}"
        )
        for id, count in counts.items()
        if count
    }
    loaded = [_result(child, folder / f"h2load-{id}") for id, child in children.items()]
    used = sum(cpu_s(ensemble.pid(id)) for id in ensemble.members) - before
    durations_us = sorted(itertools.chain.from_iterable(each.durations_us for each in loaded))
    failed = sum(each.failed for each in loaded)
    if not durations_us:
        raise EnsembleError(f"etcd answered nothing in {seconds} s of {row}")
    p50, p99 = (durations_us[bisect_left(range(len(durations_us)), share * len(durations_us))] for share in (0.5, 0.99))
    text = f"{failed} requests failed" if failed else ""
    return Measurement(len(durations_us) / seconds, p50 / 1000, p99 / 1000, 0.0, used / seconds, failed, text)


def _request(row: Row) -> bytes:
    key = _KEYS[row.operation]
    return _put(key, row.value_bytes) if row.operation == "set" else _range(key)


def _put(key: bytes, value_bytes: int) -> bytes:
    """A PutRequest: key 1, value 2."""
    return _framed(_bytes_field(1, key) + _bytes_field(2, b"v" * value_bytes))


def _range(key: bytes) -> bytes:
    """A RangeRequest: key 1, serializable 7."""
    return _framed(_bytes_field(1, key) + bytes((7 << 3, 1)))


def _framed(message: bytes) -> bytes:
    return b"\0" + len(message).to_bytes(4, "big") + message  # not compressed, length


def _bytes_field(number: int, value: bytes) -> bytes:
    assert len(value) < 128, "a longer value needs a longer varint"
    return bytes((number << 3 | 2, len(value))) + value


def _h2load(address: str, body: Path, log: Path, row: Row, connections: int, until: str) -> "subprocess.Popen[str]":
    log.unlink(missing_ok=True)
    command = [
        *("h2load", "--threads=1", f"--clients={connections}", f"--max-concurrent-streams={row.window}"),
        *(until, f"--data={body}", f"--log-file={log}"),
        *("--header=content-type: application/grpc", "--header=te: trailers"),
        f"http://{address}/etcdserverpb.KV/{METHODS[row.operation]}",
    ]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def _result(child: "subprocess.Popen[str]", log: Path) -> Loaded:
    text, _ = child.communicate()
    counted, data = _REPORT.search(text), _DATA.search(text)
    if counted is None or data is None:
        raise EnsembleError(f"h2load did not do its work: {text.strip()[-500:]}")
    succeeded, *failed = map(int, counted.groups())
    if int(data.group(1)) < succeeded * _BODY_BYTES_MIN:
        failed = [succeeded]
    durations_us = [int(line.rpartition("\t")[2]) for line in log.read_text().splitlines()]
    return Loaded(durations_us, sum(failed))
