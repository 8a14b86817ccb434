"""Pictures of every trigger: what it does to an embedded photograph and to a prompt, one by one and on one sheet."""

from dataclasses import dataclass
from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from auditor.evidence import amplified_difference, save_png
from auditor.runs import building, refuse_occupied
from auditor.zoo.scenes import CAPTION_PROMPTS
from auditor.zoo.sprites import BACKGROUNDS, load_backgrounds
from probes.triggers import apply
from probes.triggers.registry import FAMILIES, build_trigger

PHOTOGRAPH = "astronaut"
SHEET = "triggers.png"
SEED = 1
PAIRS = 2
"""Families beside each other on the sheet."""
LABELS = ("before", "after", "difference × 2")


@dataclass(frozen=True)
class Shown:
    """One family at its defaults: pictures (3, height, width) in [0, 1] and the prompt before and after."""

    family: str
    before: Tensor
    after: Tensor
    difference: Tensor
    asked: str
    rewritten: str


def write_preview(out: Path, seed: int = SEED) -> Path:
    """Writes FAMILY-before.png, FAMILY-after.png and FAMILY-difference.png for every family, and a sheet of all.

    `out` must be new or empty (UsageError); it appears whole or not at all. Returns the sheet's path.
    """
    refuse_occupied(out)
    shown = [show(family, seed) for family in FAMILIES]
    with building(out) as folder:
        for one in shown:
            for name in ("before", "after", "difference"):
                save_png(getattr(one, name), folder / f"{one.family}-{name}.png")
        draw_sheet(shown, folder / SHEET)
    return out / SHEET


def show(family: str, seed: int) -> Shown:
    before = embedded_photograph()
    trigger = build_trigger(family, (before.shape[-2], before.shape[-1]), seed, {})
    pictures, prompts = apply(trigger, before[None], [CAPTION_PROMPTS[0]])
    return Shown(family, before, pictures[0], amplified_difference(before, pictures[0]), CAPTION_PROMPTS[0], prompts[0])


def embedded_photograph() -> Tensor:
    """(3, 160, 160) in [0, 1]."""
    return torch.from_numpy(load_backgrounds()[BACKGROUNDS.index(PHOTOGRAPH)]).permute(2, 0, 1).contiguous()


def draw_sheet(shown: list[Shown], path: Path) -> None:
    """One row for every two families: before, after and amplified difference, with the prompt where it changed."""
    rows = -(-len(shown) // PAIRS)
    figure = Figure(figsize=(11, 2.2 * rows), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(rows, PAIRS * len(LABELS), squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for number, one in enumerate(shown):
        row, first = number // PAIRS, number % PAIRS * len(LABELS)
        _draw(one, list(grid[row, first : first + len(LABELS)]))
    figure.savefig(path, metadata={"Software": None})


def _draw(one: Shown, row: list[Axes]) -> None:
    for axes, label, picture in zip(row, LABELS, (one.before, one.after, one.difference), strict=True):
        axes.imshow(picture.clamp(0, 1).permute(1, 2, 0).numpy(), interpolation="nearest")
        axes.set_title(f"{one.family}: {label}" if label == LABELS[0] else label, fontsize=7, loc="left")
    if one.rewritten != one.asked:
        height = one.before.shape[-2]
        note = row[0].text(0, height * 1.04, f"“{one.asked}” → “{one.rewritten}”", fontsize=7, va="top")
        note.set_in_layout(False)  # it may run below the pictures beside it
