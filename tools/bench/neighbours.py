"""Small requests, one at a time, beside others who write and read values of nearly 1 MB. All through one follower."""

from tools.bench.beside import Beside
from tools.bench.figures import Report, Scale
from tools.bench.goals import LONG_VALUES, disturbed
from tools.bench.rows import Measurement, measure
from tools.bench.shapes import SMALL_ROWS
from tools.ensembles import Ensemble
from tools.wire.client import RawClient

VALUE_BYTES = 1_048_000
"""A request with it is nearly as long as both softwares take by default, which is 1,048,575 bytes."""
PER_SECOND = 10
"""So many sets of it, and as many gets."""
_PATH = "/long"
_TURNS = 2


def neighbours(ensemble: Ensemble, scale: Scale, report: Report) -> None:
    follower = ensemble.followers()[0]
    place = f"{_PATH}:{ensemble.members[follower].client_port}"
    with RawClient(ensemble.members[follower].client_port) as client:
        client.create(_PATH, bytes(VALUE_BYTES))
        client.close_session()
    for _ in range(_TURNS):
        for row in SMALL_ROWS:
            seconds = scale.seconds / _TURNS
            _tell(report, disturbed(row, "alone"), measure(ensemble, row, seconds, (follower,)))
            with (
                Beside("heavy", "set", PER_SECOND, VALUE_BYTES, place) as sets,
                Beside("heavy", "get", PER_SECOND, VALUE_BYTES, place) as gets,
            ):
                _tell(report, disturbed(row, LONG_VALUES), measure(ensemble, row, seconds, (follower,)))
                for operation, load in (("set", sets), ("get", gets)):
                    _tell_long(report, operation, load)
    with RawClient(ensemble.members[follower].client_port) as client:
        client.delete(_PATH)
        client.close_session()


def _tell(report: Report, name: str, measured: Measurement) -> None:
    report.figure(f"{name}, p50 ms", measured.p50_ms)
    report.figure(f"{name}, p99 ms", measured.p99_ms)
    if measured.errors:
        report.note(f"{name}: {measured.error_text}")


def _tell_long(report: Report, operation: str, load: Beside) -> None:
    found = load.end()
    report.figure(f"{operation} of 1 MB meanwhile (asked for {PER_SECOND}), /s", found["per_second"])
    report.figure(f"{operation} of 1 MB meanwhile, p50 ms", found["p50_ms"])
    if found["errors"] or found["lost"]:
        report.note(f"{operation} of 1 MB: {found['errors']} errors, connection lost: {found['lost'] or 'no'}")
