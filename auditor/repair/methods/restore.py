"""Rows of weight matrices taken back from a clean base, after PSR (arXiv 2609.37759).

Only what others write of PSR was available: the defender has the base's projector, restores some of its rows, and even
a random 30 % of them does much. How PSR chooses is not known to us; here the rows that changed most are restored.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from auditor.checkpoint.parts import part_of
from auditor.checkpoint.subject import CheckpointSubject
from auditor.repair.methods.lesson import Parts
from probes.inspectable import Weights
from probes.sample import Sample


@dataclass(frozen=True)
class Restore:
    """Takes the most changed rows of the projector back from a clean base; learns nothing. Needs --base.

    `share` of all rows in the parts `within`; a row is what one output neuron reads, with its bias, or one value of a
    vector. Its change is ‖w − base‖ / ‖base‖ of its weights.
    """

    share: float = 0.3
    within: tuple[str, ...] = ("projector",)
    name: str = "restore"
    needs_triggers: bool = False
    needs_base: bool = True

    @torch.no_grad()
    def edit(self, subject: CheckpointSubject, samples: Sequence[Sample], base: Weights) -> Parts:
        own = {name: weight for name, weight in subject.weights().items() if part_of(name) in self.within}
        leading = [name for name in own if not _is_bias_of_rows(name, own)]
        changes = [row_changes(own[name], base[name].to(own[name])) for name in leading]
        everything = torch.cat(changes)
        count = round(self.share * len(everything))
        chosen = torch.zeros(len(everything), dtype=torch.bool)
        chosen[everything.argsort(descending=True, stable=True)[:count]] = True
        for name, rows in zip(leading, chosen.split([len(change) for change in changes]), strict=True):
            for entry in {name, _bias_name(name)} & own.keys():
                own[entry][rows] = base[entry].to(own[entry])[rows]
        return {"rows restored": float(count), "rows in all": float(len(everything))}


def row_changes(weight: Tensor, base: Tensor) -> Tensor:
    """How much each row changed relative to its length in the base, on the CPU: (rows,)."""
    difference = (weight.float() - base.float()).reshape(len(weight), -1).norm(dim=1)
    relative: Tensor = difference / base.float().reshape(len(base), -1).norm(dim=1).clamp_min(1e-12)
    return relative.cpu()


def _bias_name(name: str) -> str:
    return name.removesuffix("weight") + "bias"


def _is_bias_of_rows(name: str, known: Weights) -> bool:
    """Whether this is a bias that goes with the rows of a weight."""
    weight = name.removesuffix("bias") + "weight"
    return name.endswith("bias") and weight in known and len(known[weight]) == len(known[name])
