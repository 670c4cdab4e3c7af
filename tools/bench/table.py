"""Numbers to lines of text. Pure."""

import statistics
from collections.abc import Mapping, Sequence

from tools.bench.failover import Trial
from tools.bench.locks import LockRates
from tools.bench.memory import Memory
from tools.bench.rows import Measurement, Row

_MEBIBYTE = 1 << 20
_BASELINE = ("zookeeper", "kazoo")  # what the ratios compare with


def aligned(lines: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell: the first to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if index == 0 else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def throughput(found: Mapping[str, Mapping[Row, Measurement]]) -> str:
    """The main table: a line a row, a group of columns a software, and the ratio of the first to the second."""
    names = list(found)
    header = ["operation, connections x in flight, value"]
    for name in names:
        header += [f"{name} /s", "p50 ms", "p99 ms", "CPUs", "errors"]
    if len(names) == 2:
        header.append(f"{names[0]}/{names[1]}")
    header.append("generator CPU")
    lines = [header]
    for row in found[names[0]]:
        measured = [found[name][row] for name in names]
        line = [str(row)]
        for each in measured:
            line += [
                f"{each.per_second:,.0f}",
                f"{each.p50_ms:.2f}",
                f"{each.p99_ms:.2f}",
                f"{each.servers_cpu:.2f}",
                str(each.errors),
            ]
        if len(names) == 2:
            line.append(ratio(measured[0].per_second, measured[1].per_second))
        line.append(" / ".join(f"{each.generator_cpu:.0%}" for each in measured))
        lines.append(line)
    return aligned(lines)


def errors(found: Mapping[str, Mapping[Row, Measurement]]) -> str:
    """A line for each row that had errors, with what they were."""
    return "\n".join(
        f"{name}: {row}: {measurement.error_text}"
        for name, by_row in found.items()
        for row, measurement in by_row.items()
        if measurement.errors
    )


def ratio(first: float, second: float) -> str:
    return f"{first / second:.2f}" if second else "-"


def failover(found: Mapping[str, Mapping[str, Sequence[Trial]]]) -> str:
    """A line a fault: how long writes on survivors stood still."""
    lines = [["leader", "software", "trials", "median ms", "max ms", "connections lost"]]
    for name, by_fault in found.items():
        for fault, trials in by_fault.items():
            gaps = [trial.gap_s * 1000 for trial in trials]
            lost = sum(trial.connections_lost for trial in trials)
            lines.append([fault, name, str(len(gaps)), f"{statistics.median(gaps):.0f}", f"{max(gaps):.0f}", str(lost)])
    return aligned(lines)


def libraries(found: Mapping[str, Mapping[str, Mapping[tuple[str, int], float]]]) -> str:
    """A line a client library and its servers, a column an operation, each with its ratio to kazoo on ZooKeeper."""
    columns = list(dict.fromkeys(row for of in found.values() for rates in of.values() for row in rates))
    lines = [["one client, operation x in flight"]]
    for operation, window in columns:
        lines[0] += [f"{operation} x{window} /s", "to kazoo"]
    software, library = _BASELINE
    baseline = found.get(software, {}).get(library, {})
    for name, by_library in found.items():
        for each, rates in by_library.items():
            line = [f"{each}, servers: {name}"]
            for row in columns:
                rate = rates.get(row)
                line.append("-" if rate is None else f"{rate:,.0f}")
                line.append("-" if rate is None else ratio(rate, baseline.get(row, 0)))
            lines.append(line)
    return aligned(lines)


def locks(found: Mapping[str, Mapping[str, LockRates]]) -> str:
    """A line a library and its servers: how often a lock is taken and given back, and how long a hand-over takes."""
    lines = [["lock", "take and give back /s", "hand-over p50 ms", "p99 ms", "p50 ms of 1,000 contenders"]]
    for name, by_library in found.items():
        for each, rates in by_library.items():
            many = rates.handover_many_p50_ms
            numbers = [f"{rates.per_second:,.0f}", f"{rates.handover_p50_ms:.2f}", f"{rates.handover_p99_ms:.2f}"]
            lines.append([f"{each}, servers: {name}", *numbers, "-" if many is None else f"{many:.2f}"])
    return aligned(lines)


def memory(found: Mapping[str, Memory]) -> str:
    """A line a server: resident memory before and after, and the difference for each znode."""
    lines = [["server", "before MiB", "after MiB", "bytes a znode"]]
    for name, measured in found.items():
        for id, after in measured.after_bytes.items():
            before = measured.before_bytes[id]
            lines.append(
                [
                    f"{name} {id}",
                    f"{before / _MEBIBYTE:.1f}",
                    f"{after / _MEBIBYTE:.1f}",
                    f"{measured.per_znode(id):.0f}",
                ]
            )
    sizes = {(each.znodes, each.value_bytes) for each in found.values()}
    times = ", ".join(f"{name} {each.seconds:.1f} s" for name, each in found.items())
    (znodes, value_bytes), *_ = sizes
    return f"{znodes:,} znodes of {value_bytes} B, created in: {times}\n{aligned(lines)}"
