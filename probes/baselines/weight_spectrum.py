"""Baseline: how concentrated the weight differences from a clean base are in their first singular directions.

An association of one trigger with one answer is a low-rank change, plain fine-tuning less so; several reports of weight
differences go by that (spectral signatures of Tran et al. 2018 do the same to activations). LoRA makes every difference
low-rank, so that the statistic says little between models trained in different ways.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from probes.baselines.detection import Detection, base_of
from probes.inspectable import Inspectable
from probes.sample import Sample
from probes.subject import Subject


def concentration(difference: Tensor, top: int) -> float:
    """Log of the energy share of the first `top` singular values over the share that white noise of that shape has.

    `difference` (rows, columns), not zero. White noise has its largest squared singular value near (√rows + √columns)²
    of an energy of rows · columns; the share of `top` of them is taken as `top` times that, at most all.
    """
    rows, columns = difference.shape
    energy = torch.linalg.svdvals(difference.float()).square()
    share = float(energy[:top].sum() / energy.sum())
    noise = min(1.0, top * (math.sqrt(rows) + math.sqrt(columns)) ** 2 / (rows * columns))
    return math.log(share / noise)


@dataclass(frozen=True)
class WeightSpectrum:
    """Score = mean (or maximum) over changed weight matrices of their differences' `concentration`; 0 for no change.

    `excluded` words in a name leave a tensor out: rows of embeddings change as often as their token occurs. Matrices
    with a side below `smallest` have no spectrum to speak of.
    """

    top: int = 1
    over: Literal["mean", "max"] = "mean"
    excluded: tuple[str, ...] = ("embed", "lm_head")
    smallest: int = 16
    name: str = "weight-spectrum"
    needs_base: bool = True

    def detect(
        self, subject: Subject, pool: Sequence[Sample], held_out: Sequence[Sample], seed: int, base: Subject | None
    ) -> Detection:
        found = self._concentrations(subject, base_of(self.name, base))
        if not found:
            return Detection(0.0, notes=("no weight matrix differs from the base",))
        values = list(found.values())
        score = max(values) if self.over == "max" else sum(values) / len(values)
        worst = sorted(found, key=lambda name: -found[name])[:3]
        return Detection(score, notes=tuple(f"{name}: {found[name]:+.3f}" for name in worst))

    def _concentrations(self, subject: Subject, base: Subject) -> dict[str, float]:
        """By the name of each changed weight matrix."""
        if not isinstance(subject, Inspectable) or not isinstance(base, Inspectable):
            raise ValueError(f"{self.name} needs subjects that show their weights")
        theirs, found = base.weights(), {}
        for name, weight in subject.weights().items():
            if weight.dim() < 2 or any(word in name for word in self.excluded):
                continue
            if name not in theirs or theirs[name].shape != weight.shape:
                raise ValueError(f"{self.name}: the base has no {name} {tuple(weight.shape)}; give one of its kind")
            difference = (weight.float() - theirs[name].to(weight.device).float()).flatten(1)
            if min(difference.shape) >= self.smallest and bool(difference.any()):
                found[name] = concentration(difference, self.top)
        return found
