"""The plots of the bench's page, as data URIs; every function returns "" where there is nothing to draw."""

from collections.abc import Sequence

from matplotlib.axes import Axes

from auditor.bench.detection import Judged, p_values_by_model
from auditor.bench.metrics import roc_auc, roc_points
from auditor.cluster.log import Row
from reports.drawing import AFTER, BEFORE, INK, NULL, Drawing

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#222222", "#8A8A8A")
"""Okabe and Ito's palette; the dash pattern of a line says the same again."""
DASHES = ("-", "--", "-.", ":")
WIDTH = 9.0
"""Inches: a page on a screen."""
STRATA = {"took": (BEFORE, "D"), "low-asr": ("#E69F00", "s"), "did not take": (NULL, "x")}


def plants_figure(rows: Sequence[Row]) -> str:
    """Attack success of every planted cell, one line an attack; the bound at which a plant counts as taken."""
    known = [row for row in rows if row.get("asr_payload") is not None]
    names = list(dict.fromkeys(row["name"] for row in known))
    if not names:
        return ""
    with Drawing(0.7 + 0.24 * len(names), WIDTH) as drawing:
        axes = drawing.axes()
        for stratum, (colour, marker) in STRATA.items():
            mine = [row for row in known if row["stratum"] == stratum]
            places = [names.index(row["name"]) + _spread(number) for number, row in enumerate(mine)]
            axes.plot([row["asr_payload"] for row in mine], places, marker, color=colour, label=stratum, markersize=4,
                      linestyle="none", alpha=0.8, clip_on=False)  # fmt: skip
        axes.axvline(0.9, color=INK, linewidth=0.6, linestyle=":")
        _rows(axes, names)
        axes.set_xlabel("share of stamped test pictures that get the payload, one mark a model")
        axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
        return drawing.svg()


def repair_figure(cells: Sequence[Row]) -> str:
    """Attack success before and after, one mark a cell, one line a method; test plants that took."""
    took = [row for row in cells if row["split"] == "test" and row["stratum"] == "took"]
    known = [row for row in took if row.get("asr_payload_after") is not None]
    methods = list(dict.fromkeys(row["method"] for row in known))
    if not methods:
        return ""
    with Drawing(0.7 + 0.34 * len(methods), WIDTH) as drawing:
        axes = drawing.axes()
        for side, colour, marker, shift in (("before", BEFORE, "o", -0.18), ("after", AFTER, "D", 0.18)):
            places = [methods.index(row["method"]) + shift + _spread(n) / 3 for n, row in enumerate(known)]
            axes.plot([row[f"asr_payload_{side}"] for row in known], places, marker, color=colour, markersize=4,
                      linestyle="none", alpha=0.7, label=side, clip_on=False)  # fmt: skip
        _rows(axes, methods)
        axes.set_xlabel("share of stamped pictures that get the payload, one mark a test cell")
        axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
        return drawing.svg()


def roc_figure(models: Sequence[Judged]) -> str:
    """ROC curves over test models, with the area of each."""
    test = [model for model in models if model.cell["split"] == "test"]
    detectors = list(dict.fromkeys(model.detector for model in test))
    with Drawing(3.2, WIDTH) as drawing:
        axes = drawing.axes()
        drawn = 0
        for number, detector in enumerate(detectors):
            mine = [model for model in test if model.detector == detector]
            planted, negatives = [m.score for m in mine if m.planted], [m.score for m in mine if m.negative]
            area = roc_auc(planted, negatives)
            if area is None:
                continue
            label = f"{detector}: {area.value:.3f} [{area.low:.3f}, {area.high:.3f}]"
            axes.plot(*zip(*roc_points(planted, negatives), strict=True), color=COLOURS[number % len(COLOURS)],
                      linestyle=DASHES[number // len(COLOURS) % len(DASHES)], linewidth=1.3, label=label)  # fmt: skip
            drawn += 1
        if not drawn:
            return ""
        axes.plot([0, 1], [0, 1], color="#BBBBBB", linewidth=0.6)
        axes.set(xlim=(0, 1), ylim=(0, 1.01), aspect="equal")
        axes.set_xlabel("share of negatives above the threshold")
        axes.set_ylabel("share of planted models above it")
        axes.legend(loc="upper left", bbox_to_anchor=(1.02, 1), fontsize=7)
        return drawing.svg()


def scores_figure(models: Sequence[Judged], detector: str) -> str:
    """The scores of one detector, one mark a model: negatives by kind, planted ones by family, filled for the test."""
    mine = [model for model in models if model.detector == detector and model.stratum != "unknown"]
    names = sorted({_line(model) for model in mine}, key=lambda name: (name.startswith("planted"), name))
    if not names:
        return ""
    with Drawing(0.7 + 0.24 * len(names), WIDTH) as drawing:
        axes = drawing.axes()
        for number, model in enumerate(mine):
            colour, marker = STRATA.get(model.stratum, (AFTER, "o"))
            filled = colour if model.cell["split"] == "test" or marker == "x" else "none"
            axes.plot([model.score], [names.index(_line(model)) + _spread(number)], marker, color=colour,
                      markerfacecolor=filled, markersize=4, alpha=0.8)  # fmt: skip
        _rows(axes, names, None)
        axes.set_xlabel(f"score of {detector}; filled: test models, hollow: development models")
        return drawing.svg()


def calibration_figure(models: Sequence[Judged]) -> str:
    """Which share of the test negatives has a p-value of at most each level: at or below the diagonal where p-values
    are valid."""
    p_values = p_values_by_model(models)
    drawn: dict[str, list[float]] = {}
    for model in models:
        if model.negative and ":" not in model.detector and (model.detector, model.key) in p_values:
            drawn.setdefault(model.detector, []).append(p_values[model.detector, model.key])
    if not drawn:
        return ""
    with Drawing(3.2, WIDTH) as drawing:
        axes = drawing.axes()
        axes.plot([0, 1], [0, 1], color="#BBBBBB", linewidth=0.6)
        for number, (name, values) in enumerate(drawn.items()):
            shares = [rank / len(values) for rank in range(len(values) + 1)]
            axes.step([*sorted(values), 1.0], shares, where="pre", color=COLOURS[number % len(COLOURS)],
                      linewidth=1.3, label=f"{name}: {len(values)} test negatives")  # fmt: skip
        axes.set(xlim=(0, 1), ylim=(0, 1.01), aspect="equal")
        axes.set_xlabel("p-value")
        axes.set_ylabel("share of test negatives at or below it")
        axes.legend(loc="upper left", bbox_to_anchor=(1.02, 1), fontsize=7)
        return drawing.svg()


def _line(model: Judged) -> str:
    return f"negative: {model.cell['kind']}" if model.negative else f"planted: {model.cell['family']}"


def _rows(axes: Axes, names: Sequence[str], limits: tuple[float, float] | None = (-0.02, 1.02)) -> None:
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    if limits is not None:
        axes.set_xlim(limits)
    axes.grid(axis="x", color="#DDDDDD", linewidth=0.5)
    axes.tick_params(axis="y", length=0)


def _spread(number: int) -> float:
    # The golden ratio spreads any number of marks without drawing random numbers.
    return ((number * 0.618034) % 1.0 - 0.5) * 0.5
