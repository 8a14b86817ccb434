"""The plots of the report, as data URIs; every function returns "" where there is nothing to draw."""

import io
import math
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from PIL import Image

from reports.fields import Grid
from reports.pictures import data_uri
from reports.record import Attribution, BeforeAfter, LossPoint, Measure, Statistic
from reports.wording import ATTACK_ROWS, QUALITY_ROWS, Row

# Okabe and Ito's palette: told apart by readers of every colour vision; the marker says the same again.
BEFORE, AFTER, NULL, INK = "#D55E00", "#0072B2", "#8A8A8A", "#222222"
STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#777777",
    "axes.linewidth": 0.6,
    "axes.titlesize": 8,
    "text.color": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "svg.fonttype": "path",
    "svg.hashsalt": "report",
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
}
WIDTH = 6.9  # inches: the text width of an A4 page
Pair = tuple[Row, Measure | None, Measure | None]


def attack_figure(scores: BeforeAfter) -> str:
    """Attack success before and after: one row a trigger, dots with their intervals, from 0 to 1."""
    rows = _pairs(scores, ATTACK_ROWS)
    if not rows:
        return ""
    with matplotlib.rc_context(STYLE):
        figure = _figure(WIDTH, 0.62 + 0.36 * len(rows))
        axes = figure.add_subplot()
        offset = 0.0 if scores.after is None else 0.14
        for place, (_, before, after) in enumerate(rows):
            _dot(axes, before, place - offset, BEFORE, "o")
            _dot(axes, after, place + offset, AFTER, "D")
        axes.set_yticks(range(len(rows)), [row.label for row, _, _ in rows])
        axes.set(xlim=(-0.02, 1.02), ylim=(len(rows) - 0.5, -0.5))
        axes.set_xlabel("share of pictures that get the suspected answer")
        axes.grid(axis="x", color="#DDDDDD", linewidth=0.5)
        axes.tick_params(axis="y", length=0)
        if scores.after is not None:
            _legend(figure)
        return _svg(figure)


def quality_figure(scores: BeforeAfter) -> str:
    """Benign quality before and after: one panel a measure, each from 0, dots with their intervals."""
    rows = _pairs(scores, QUALITY_ROWS)
    if not rows or scores.after is None:
        return ""
    with matplotlib.rc_context(STYLE):
        figure = _figure(WIDTH, 1.55)
        for place, (row, before, after) in enumerate(rows):
            axes = figure.add_subplot(1, max(4, len(rows)), place + 1)
            _dot(axes, before, 0, BEFORE, "o", upright=True)
            _dot(axes, after, 1, AFTER, "D", upright=True)
            ends = [end for item in (before, after) if item for end in (item.value, item.high) if end is not None]
            axes.set(title=row.label, xlim=(-0.6, 1.6), ylim=(0, max([*ends, 1e-9]) * 1.12))
            axes.set_xticks([0, 1], ["before", "after"])
            axes.grid(axis="y", color="#DDDDDD", linewidth=0.5)
        return _svg(figure)


def evidence_figure(statistics: Sequence[Statistic]) -> str:
    """Each statistic against its null: grey dots where nothing is planted, a diamond for the finding."""
    shown = [item for item in statistics if item.value is not None and _known(item.null)]
    if not shown:
        return ""
    with matplotlib.rc_context(STYLE):
        figure = _figure(WIDTH, 0.2 + 0.52 * len(shown))
        for place, item in enumerate(shown):
            axes = figure.add_subplot(len(shown), 1, place + 1)
            null = _known(item.null)
            axes.plot(null, _jitter(len(null)), "o", color=NULL, markersize=3, alpha=0.55, markeredgewidth=0)
            axes.plot(_known([item.value]), [0], "D", color=BEFORE, markersize=6, zorder=3)
            axes.set(ylim=(-1, 1), yticks=[])
            axes.margins(x=0.06)
            axes.spines["left"].set_visible(False)
            axes.tick_params(axis="x", labelsize=7, pad=1)
            axes.set_ylabel(_wrap(item.name), rotation=0, ha="right", va="center", parse_math=False)
        return _svg(figure)


def losses_figure(losses: Sequence[LossPoint]) -> str:
    """The parts of the repair's loss over its steps, one panel a part, each on its own scale."""
    names = list(dict.fromkeys(name for point in losses for name in point.parts))
    if len(losses) < 2 or not names:
        return ""
    columns = min(4, len(names))
    rows = math.ceil(len(names) / columns)
    with matplotlib.rc_context(STYLE):
        figure = _figure(WIDTH * max(columns, 3) / 4, 1.45 * rows)
        for place, name in enumerate(names):
            axes = figure.add_subplot(rows, columns, place + 1)
            points = [(point.step, _or_nan(point.parts.get(name))) for point in losses]
            axes.plot(*zip(*points, strict=True), color=AFTER, linewidth=1.1)
            axes.set_title(name[:32], parse_math=False)
            axes.set_xlabel("step")
            axes.locator_params(nbins=4)
        return _svg(figure)


def attribution_figure(item: Attribution, clean: Image.Image | None, stamped: Image.Image | None) -> str:
    """Pictures and maps side by side, the maps over the stamped picture and on one colour scale (PNG)."""
    if not _drawable(item.values_before):
        return ""
    maps = [("before", item.values_before)]
    if item.values_after is not None and _drawable(item.values_after):
        maps.append(("after", item.values_after))
    pictures = [(name, picture) for name, picture in (("clean", clean), ("stamped", stamped)) if picture is not None]
    grids = [(name, np.array(values, dtype=float)) for name, values in maps]
    norm, colours = _scale(np.concatenate([grid.ravel() for _, grid in grids]))
    under = stamped if stamped is not None else clean
    with matplotlib.rc_context(STYLE):
        panels = len(pictures) + len(grids)
        figure = _figure(1.32 * panels + 0.55, 1.5)
        axes = [figure.add_subplot(1, panels, place + 1) for place in range(panels)]
        for place, (name, picture) in enumerate(pictures):
            _panel(axes[place], name, picture)
        for place, (name, grid) in enumerate(grids, start=len(pictures)):
            _overlay(axes[place], name, grid, under, norm, colours)
        bar = figure.colorbar(ScalarMappable(norm, colours), ax=axes, fraction=0.05, pad=0.01, shrink=0.85)
        bar.ax.tick_params(labelsize=6, length=2)
        bar.locator = MaxNLocator(3)
        return _png(figure)


def _pairs(scores: BeforeAfter, rows: Iterable[Row]) -> list[Pair]:
    after = scores.after
    pairs = [(row, scores.before.of(row.field), after.of(row.field) if after else None) for row in rows]
    return [pair for pair in pairs if any(item is not None and item.value is not None for item in pair[1:])]


def _figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    return figure


def _dot(axes: Axes, item: Measure | None, place: float, colour: str, marker: str, upright: bool = False) -> None:
    if item is None or item.value is None:
        return
    ends = [item.value if end is None else end for end in (item.low, item.high)]
    if upright:
        axes.plot([place, place], ends, color=colour, linewidth=1.6, solid_capstyle="butt")
        axes.plot([place], [item.value], marker, color=colour, markersize=5)
    else:
        axes.plot(ends, [place, place], color=colour, linewidth=1.6, solid_capstyle="butt", clip_on=False)
        axes.plot([item.value], [place], marker, color=colour, markersize=5, clip_on=False)


def _legend(figure: Figure) -> None:
    handles = [
        Line2D([], [], color=colour, marker=marker, markersize=5, label=label)
        for colour, marker, label in ((BEFORE, "o", "model as given"), (AFTER, "D", "repaired model"))
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=2, fontsize=8)


def _jitter(n: int) -> list[float]:
    # The golden ratio spreads any number of dots without drawing random numbers.
    return [((place * 0.618034) % 1.0 - 0.5) * 1.2 for place in range(n)]


def _known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value


def _wrap(name: str, width: int = 24) -> str:
    lines = [""]
    for word in name[: 2 * width].split():
        if lines[-1] and len(lines[-1]) + len(word) >= width:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(lines)


def _drawable(values: Grid) -> bool:
    return bool(values) and bool(values[0]) and len({len(row) for row in values}) == 1


def _scale(values: "np.ndarray[tuple[int], np.dtype[np.float64]]") -> tuple[Normalize, str]:
    finite = values[np.isfinite(values)]
    top = max(float(np.abs(finite).max()) if finite.size else 0.0, 1e-12)
    if finite.size and finite.min() < -0.05 * top:
        return Normalize(-top, top), "PuOr_r"
    return Normalize(0.0, top), "inferno"


def _panel(axes: Axes, name: str, picture: Image.Image) -> None:
    axes.imshow(np.asarray(picture), interpolation="nearest", extent=(0, 1, 0, picture.height / picture.width))
    axes.set_title(name, pad=2)
    axes.set_axis_off()


def _overlay(
    axes: Axes,
    name: str,
    grid: "np.ndarray[tuple[int, ...], np.dtype[np.float64]]",
    under: Image.Image | None,
    norm: Normalize,
    colours: str,
) -> None:
    rows, columns = grid.shape
    height = under.height / under.width if under is not None else rows / columns
    if under is not None:
        axes.imshow(np.asarray(under.convert("L")), cmap="gray", interpolation="nearest", extent=(0, 1, 0, height))
    axes.imshow(
        grid,
        norm=norm,
        cmap=colours,
        alpha=0.72 if under is not None else 1.0,
        interpolation="nearest",
        extent=(0, 1, 0, height),
    )
    axes.set_title(name, pad=2)
    axes.set_axis_off()


def _svg(figure: Figure) -> str:
    return data_uri("image/svg+xml", _saved(figure, "svg", metadata={"Date": None, "Creator": None}))


def _png(figure: Figure) -> str:
    return data_uri("image/png", _saved(figure, "png", dpi=220, metadata={"Software": None}))


def _saved(figure: Figure, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # A name in a script that the font lacks is drawn as boxes; the table beside the plot spells it.
        warnings.simplefilter("ignore", UserWarning)
        figure.savefig(buffer, format=kind, **options)  # type: ignore[arg-type]
    return buffer.getvalue()
