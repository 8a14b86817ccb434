"""From a matrix to the items of a fleet: cells in an order that is balanced at any moment, each with its dependents."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from auditor.bench.matrix import Detector, Matrix, Method, Planted, Split, Wave
from auditor.cluster.items import Item

NEEDS_SCAN = frozenset({"guided"})
"""Registered repair methods that unlearn what a scan found: their items wait for the scan of the same model."""


@dataclass(frozen=True)
class Cell:
    """One model to plant: an attack or a negative, in one architecture, for one task, from one seed."""

    architecture: str
    task: str
    planted: Planted
    seed: int
    split: Split

    @property
    def key(self) -> str:
        return f"plant/{self.architecture}/{self.task}/{self.planted.name}/{self.seed}"


def plan(matrix: Matrix) -> list[Item]:
    """All items, each once, in the order of the waves; within a wave cell by cell: plant, detectors, methods."""
    items: dict[str, Item] = {}
    for wave in matrix.waves:
        for cell in wave_cells(matrix, wave):
            for item in _cell_items(matrix, wave, cell):
                items.setdefault(item.key, item)
    return list(items.values())


def wave_cells(matrix: Matrix, wave: Wave) -> Iterator[Cell]:
    """Attacks and negatives take turns; architectures, tasks, kinds and splits change from one cell to the next."""
    attacks = _chosen(matrix.attacks, wave.attacks)
    negatives = _chosen(matrix.negatives, wave.negatives)
    turns = zip_longest(_rotated(matrix, wave, attacks), _rotated(matrix, wave, negatives))
    return (cell for pair in turns for cell in pair if cell is not None)


def _chosen(all_of: Sequence[Planted], names: Sequence[str] | None) -> list[Planted]:
    if names is None:
        return list(all_of)
    by_name = {planted.name: planted for planted in all_of}
    return [by_name[name] for name in names]


def _rotated(matrix: Matrix, wave: Wave, entries: Sequence[Planted]) -> Iterator[Cell]:
    """All entries from one seed of each split after the other; every (architecture, task) gets another entry in each
    round, so that a few rounds have seen them all."""
    grounds = [
        (architecture, task)
        for task in (wave.tasks or matrix.tasks)
        for architecture in (wave.architectures or matrix.architectures)
    ]
    for pair in zip_longest(*_seeds(matrix, wave)):
        for turn in range(len(entries)):
            for number, (architecture, task) in enumerate(grounds):
                entry = entries[(turn + number) % len(entries)]
                for seed, split in filter(None, pair):
                    if split in entry.splits and task in entry.tasks:
                        yield Cell(architecture, task, entry, seed, split)


def _seeds(matrix: Matrix, wave: Wave) -> list[list[tuple[int, Split]]]:
    wanted = wave.seeds
    return [
        [(seed, split) for seed in matrix.seeds.of(split) if wanted is None or seed in wanted] for split in wave.splits
    ]


def _cell_items(matrix: Matrix, wave: Wave, cell: Cell) -> Iterator[Item]:
    base = _settings(matrix, cell)
    yield Item(cell.key, {**base, "kind": "plant", "sizes": _sizes(matrix, "plant", "measure")})
    methods = {name: matrix.methods.get(name, Method()) for name in wave.methods}
    scans = {name: method.findings for name, method in methods.items() if (method.use or name) in NEEDS_SCAN}
    for name in dict.fromkeys([*scans.values(), *wave.detectors]):
        detector = matrix.detectors.get(name, Detector())
        asked = {"kind": "detect", "detector": name, "use": detector.use or name, "settings": detector.settings}
        sizes = _sizes(matrix, "pool", "held_out")
        yield Item(f"detect/{cell.key}/{name}", {**base, **asked, "sizes": sizes}, (cell.key,))
    for name, method in methods.items():
        asked = {"kind": "repair", "method": name, **method.model_dump(), "use": method.use or name}
        sizes = _sizes(matrix, "plant", "pool", "held_out", "repair", "measure")
        needs = (cell.key, f"detect/{cell.key}/{scans[name]}") if name in scans else (cell.key,)
        yield Item(f"repair/{cell.key}/{name}", {**base, **asked, "sizes": sizes}, needs)


def _sizes(matrix: Matrix, *parts: str) -> dict[str, int]:
    """Only what an item depends on, so that another size makes no other item stale."""
    return matrix.sizes.model_dump(include=set(parts))


def _settings(matrix: Matrix, cell: Cell) -> dict[str, Any]:
    return {
        "plant": cell.key,
        "architecture": cell.architecture,
        "task": cell.task,
        "name": cell.planted.name,
        "seed": cell.seed,
        "split": cell.split,
        "negative": cell.planted.kind != "attack",
        "spec": spec_of(matrix, cell),
    }


def spec_of(matrix: Matrix, cell: Cell) -> dict[str, Any]:
    """The PlantSpec of a cell, as plain data; the matrix' `training` holds where the entry says nothing."""
    planted = cell.planted
    given = planted.model_dump(include={"name", "kind", "rate", "adaptive", "trigger", "payload"}, exclude_none=True)
    training = {**matrix.training, **planted.training, "task": cell.task}
    return {**given, "seed": cell.seed, "training": training}
