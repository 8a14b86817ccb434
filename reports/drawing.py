"""How every plot looks: one style, a palette for every colour vision, and figures as data URIs."""

import io
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from reports.pictures import data_uri
from reports.record import Measure

# Okabe and Ito's palette: told apart by readers of every colour vision; the marker says the same again.
BEFORE, AFTER, NULL, INK = "#D55E00", "#0072B2", "#8A8A8A", "#222222"
STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#777777",
    "axes.linewidth": 0.6,
    "axes.titlesize": 7,
    "axes.labelsize": 7,
    "text.color": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 7,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "svg.fonttype": "path",
    "svg.hashsalt": "report",
    "legend.frameon": False,
    "legend.fontsize": 7,
    "figure.constrained_layout.use": True,
}
WIDTH = 3.35
"""Inches. Half the text of an A4 page, and all of a phone's screen without getting too small to read."""


class Drawing:
    """A figure in the report's style; use as a context, then ask for `.svg()`."""

    def __init__(self, height: float, width: float = WIDTH) -> None:
        self._style = matplotlib.rc_context(STYLE)
        self._size = (width, height)

    def __enter__(self) -> "Drawing":
        self._style.__enter__()
        self.figure = Figure(figsize=self._size)
        FigureCanvasAgg(self.figure)
        return self

    def __exit__(self, *problem: Any) -> None:
        self._style.__exit__(*problem)

    def axes(self, rows: int = 1, columns: int = 1, place: int = 1) -> Axes:
        """The axes at that place of the grid, counted from 1."""
        return self.figure.add_subplot(rows, columns, place)

    def svg(self) -> str:
        """The figure as an SVG data URI, the same bytes each time."""
        buffer = io.BytesIO()
        with warnings.catch_warnings():
            # A name in a script that the font lacks is drawn as boxes; the table beside the plot spells it.
            warnings.simplefilter("ignore", UserWarning)
            self.figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
        return data_uri("image/svg+xml", buffer.getvalue())

    def legend(self, with_after: bool) -> None:
        """What the two markers stand for; nothing where there is one model alone."""
        if not with_after:
            return
        handles = [
            Line2D([], [], color=colour, marker=marker, markersize=4.5, label=label)
            for colour, marker, label in ((BEFORE, "o", "model as given"), (AFTER, "D", "repaired model"))
        ]
        self.figure.legend(handles=handles, loc="outside upper center", ncols=2)


def dot(axes: Axes, item: Measure | None, place: float, colour: str, marker: str, upright: bool = False) -> None:
    """A value with its interval as a line; nothing where it was not measured."""
    if item is None or item.value is None:
        return
    ends = [item.value if end is None else end for end in (item.low, item.high)]
    line, point = ([place, place], ends), ([place], [item.value])
    if not upright:
        line, point = line[::-1], point[::-1]
    axes.plot(*line, color=colour, linewidth=1.4, solid_capstyle="butt", clip_on=False)
    axes.plot(*point, marker, color=colour, markersize=4.5, clip_on=False)


def rows_of(axes: Axes, names: Sequence[str]) -> None:
    """One named row an entry, the first on top, with a light grid along the values."""
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(axis="x", color="#DDDDDD", linewidth=0.5)
    axes.tick_params(axis="y", length=0, pad=5)


def cloud(axes: Axes, values: Sequence[float], value: float | None) -> None:
    """The null as grey dots and the value that is looked at as a diamond, along one line."""
    # The golden ratio spreads any number of dots without drawing random numbers.
    heights = [((place * 0.618034) % 1.0 - 0.5) * 1.2 for place in range(len(values))]
    axes.plot(values, heights, "o", color=NULL, markersize=3, alpha=0.6, markeredgewidth=0)
    if value is not None:
        axes.plot([value], [0], "D", color=BEFORE, markersize=5.5, zorder=3)
    axes.set(ylim=(-1, 1), yticks=[])
    axes.margins(x=0.06)
    axes.spines["left"].set_visible(False)


def known(values: Iterable[float | None]) -> list[float]:
    """The values that are there."""
    return [value for value in values if value is not None]
