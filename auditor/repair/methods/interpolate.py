"""Weights between the given model and a clean base (weight interpolation, Wortsman et al. 2022)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from auditor.checkpoint.parts import part_of
from auditor.checkpoint.subject import CheckpointSubject
from auditor.repair.methods.lesson import Parts
from probes.inspectable import Weights
from probes.sample import Sample


@dataclass(frozen=True)
class Interpolate:
    """Moves the weights by `share` of the way to a clean base, in the parts `within`; learns nothing. Needs --base."""

    share: float = 0.5
    within: tuple[str, ...] = ("language", "projector", "vision")
    name: str = "interpolate"
    needs_triggers: bool = False
    needs_base: bool = True

    @torch.no_grad()
    def edit(self, subject: CheckpointSubject, samples: Sequence[Sample], base: Weights) -> Parts:
        moved = 0
        for name, weight in subject.weights().items():
            if part_of(name) in self.within:
                weight.lerp_(base[name].to(weight), self.share)
                moved += weight.numel()
        return {"weights moved": float(moved)}
