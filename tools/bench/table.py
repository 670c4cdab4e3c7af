"""Figures to lines of text. Pure."""

from collections.abc import Sequence

from tools.bench.figures import Figures
from tools.bench.goals import COORD, GOALS, LIMIT, MET, Goal, Verdict, judge

SOFTWARES_SHOWN = ("zookeeper", "etcd", LIMIT)


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


def goals(figures: Figures, verdicts: Sequence[Verdict]) -> str:
    """A line a goal: who reached what (median, and in brackets the least and the greatest), the ratio, the verdict."""
    others = [who for who in SOFTWARES_SHOWN if any(figures.of(_row_of(each.goal, who), who) for each in verdicts)]
    lines = [["row", "goal", COORD, "(min-max)", *(cell for who in others for cell in (who, "(min-max)")), "ratio", ""]]
    for each in verdicts:
        goal = each.goal
        cells = [goal.row, str(goal), *_cells(figures, goal.row, COORD)]
        for who in others:
            cells += _cells(figures, _row_of(goal, who), who)
        reached = "-" if each.reached is None else f"{each.reached:.2f}"
        lines.append([*cells, reached if goal.against else "", each.word])
    return aligned(lines)


def others(figures: Figures) -> str:
    """What was measured beside the goals, a line a figure."""
    shown = {name for goal in GOALS for name in (goal.row, goal.theirs)}
    names = [name for name in figures.values if name not in shown]
    whos = list(dict.fromkeys(who for name in names for who in figures.values[name]))
    if not names:
        return ""
    lines = [["also measured", *whos]]
    lines += [[name, *(_cells(figures, name, who)[0] for who in whos)] for name in names]
    return aligned(lines)


def missed(verdicts: Sequence[Verdict]) -> str:
    """A line a goal that was missed, and one for all that were not measured: the end of the report."""
    lines = []
    for each in verdicts:
        if each.reached is not None and each.word != MET:
            lines.append(f"MISSED: {each.goal.row}: {number(each.reached)}, the goal is {each.goal}")
    open_rows = sum(each.reached is None for each in verdicts)
    met = sum(each.word == MET for each in verdicts)
    lines.append(f"{met} goals met, {len(verdicts) - met - open_rows} missed, {open_rows} not measured")
    return "\n".join(lines)


def judged(figures: Figures) -> list[Verdict]:
    return [judge(goal, figures) for goal in GOALS]


def number(value: float) -> str:
    """Three digits at least, thousands apart."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _row_of(goal: Goal, who: str) -> str:
    return goal.theirs if goal.theirs and who == goal.against else goal.row


def _cells(figures: Figures, name: str, who: str) -> list[str]:
    found, median = figures.of(name, who), figures.median(name, who)
    if median is None:
        return ["-", ""]
    spread = f"({number(min(found))}-{number(max(found))})" if len(found) > 1 else ""
    return [number(median), spread]
