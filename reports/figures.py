"""The plots of the report, as data URIs; every function returns "" where there is nothing to draw."""

import math
from collections.abc import Iterable, Sequence

from reports.drawing import AFTER, BEFORE, Drawing, cloud, dot, known, rows_of
from reports.record import Attribution, BeforeAfter, Measure, Statistic
from reports.repair import LossPoint
from reports.wording import ATTACK_ROWS, QUALITY_ROWS, Row

Pair = tuple[Row, Measure | None, Measure | None]


def attack_figure(scores: BeforeAfter) -> str:
    """Attack success before and after: one row a trigger, dots with their intervals, from 0 to 1."""
    rows = _pairs(scores, ATTACK_ROWS)
    if not rows:
        return ""
    with Drawing(0.62 + 0.3 * len(rows)) as drawing:
        axes = drawing.axes()
        offset = 0.0 if scores.after is None else 0.15
        for place, (_, before, after) in enumerate(rows):
            dot(axes, before, place - offset, BEFORE, "o")
            dot(axes, after, place + offset, AFTER, "D")
        rows_of(axes, [row.short for row, _, _ in rows])
        axes.set_xlim(-0.02, 1.02)
        axes.set_xlabel("share of pictures that get the suspected answer")
        drawing.legend(scores.after is not None)
        return drawing.svg()


def quality_figure(scores: BeforeAfter) -> str:
    """Benign quality before and after: one panel a measure, each from 0, dots with their intervals."""
    rows = _pairs(scores, QUALITY_ROWS)
    if not rows or scores.after is None:
        return ""
    columns = min(3, len(rows))
    lines = math.ceil(len(rows) / columns)
    with Drawing(0.2 + 1.05 * lines) as drawing:
        for place, (row, before, after) in enumerate(rows, start=1):
            axes = drawing.axes(lines, columns, place)
            dot(axes, before, 0, BEFORE, "o", upright=True)
            dot(axes, after, 1, AFTER, "D", upright=True)
            ends = known(end for item in (before, after) if item for end in (item.value, item.high))
            axes.set(title=row.short, xlim=(-0.6, 1.6), ylim=(0, max([*ends, 1e-9]) * 1.12))
            axes.set_xticks([0, 1], ["before", "after"])
            axes.locator_params(axis="y", nbins=4)
            axes.grid(axis="y", color="#DDDDDD", linewidth=0.5)
        drawing.legend(True)
        return drawing.svg()


def evidence_figure(statistics: Sequence[Statistic]) -> str:
    """Each statistic against its null: grey dots where nothing is planted, a diamond for the finding."""
    shown = [item for item in statistics if item.value is not None and known(item.null)]
    if not shown:
        return ""
    with Drawing(0.1 + 0.56 * len(shown)) as drawing:
        for place, item in enumerate(shown, start=1):
            axes = drawing.axes(len(shown), 1, place)
            cloud(axes, known(item.null), item.value)
            axes.set_title(item.name[:60], loc="left", pad=1, parse_math=False)
        return drawing.svg()


def losses_figure(losses: Sequence[LossPoint]) -> str:
    """The parts of the repair's loss over its steps, one panel a part, each on its own scale."""
    names = list(dict.fromkeys(name for point in losses for name in point.parts))
    if len(losses) < 2 or not names:
        return ""
    columns = min(2, len(names))
    rows = math.ceil(len(names) / columns)
    with Drawing(1.05 * rows + 0.1) as drawing:
        for place, name in enumerate(names, start=1):
            axes = drawing.axes(rows, columns, place)
            points = [(point.step, _or_nan(point.parts.get(name))) for point in losses]
            axes.plot(*zip(*points, strict=True), color=AFTER, linewidth=1.1)
            axes.set_title(name[:32], parse_math=False)
            if place > len(names) - columns:
                axes.set_xlabel("step")
            axes.locator_params(nbins=4)
        return drawing.svg()


def curves_figure(item: Attribution) -> str:
    """Insertion and deletion: the answer's probability while patches join or leave the picture, strongest first."""
    panels = [
        ("insertion (higher is better)", item.insertion_curve_before, item.insertion_curve_after),
        ("deletion (lower is better)", item.deletion_curve_before, item.deletion_curve_after),
    ]
    if not any(len(known(curve)) > 1 for _, *curves in panels for curve in curves):
        return ""
    with Drawing(1.35) as drawing:
        for place, (title, *curves) in enumerate(panels, start=1):
            axes = drawing.axes(1, 2, place)
            for curve, colour, marker in zip(curves, (BEFORE, AFTER), "oD", strict=True):
                shares = [step / max(len(curve) - 1, 1) for step in range(len(curve))]
                heights = [_or_nan(value) for value in curve]
                axes.plot(shares, heights, marker, ls="-", color=colour, linewidth=1.1, markersize=2.6)
            axes.set(title=title, xlim=(0, 1), ylim=(0, 1.02))
            axes.set_xlabel("share of patches")
            axes.locator_params(nbins=3)
        drawing.legend(bool(item.insertion_curve_after or item.deletion_curve_after))
        return drawing.svg()


def population_figure(statistic: float | None, negatives: Sequence[float | None], name: str) -> str:
    """The scan's statistic among the same statistic of models known to carry nothing."""
    if not known(negatives):
        return ""
    with Drawing(0.85) as drawing:
        axes = drawing.axes()
        cloud(axes, known(negatives), statistic)
        axes.set_xlabel(name, parse_math=False)
        return drawing.svg()


def intervals_figure(rows: Sequence[tuple[str, Measure]], label: str) -> str:
    """Shares from 0 to 1 with their intervals, one row each."""
    shown = [(name, item) for name, item in rows if item.value is not None]
    if not shown:
        return ""
    with Drawing(0.45 + 0.26 * len(shown)) as drawing:
        axes = drawing.axes()
        for place, (_, item) in enumerate(shown):
            dot(axes, item, place, AFTER, "D")
        rows_of(axes, [name[:40] for name, _ in shown])
        axes.set_xlim(-0.02, 1.02)
        axes.set_xlabel(label)
        return drawing.svg()


def _pairs(scores: BeforeAfter, rows: Iterable[Row]) -> list[Pair]:
    after = scores.after
    pairs = [(row, scores.before.of(row.field), after.of(row.field) if after else None) for row in rows]
    return [pair for pair in pairs if any(item is not None and item.value is not None for item in pair[1:])]


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value
