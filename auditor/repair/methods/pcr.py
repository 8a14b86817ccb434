"""Patch-based cross-view regularisation, the paper's loss (arXiv 2604.04488)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from auditor.repair.losses import answer_loss, entropy_shortfall, feature_distance, view_divergence
from auditor.repair.methods.lesson import Lesson, Parts, divided, masked, numbers
from probes.subject import Subject


@dataclass(frozen=True)
class Pcr:
    """Patch-based cross-view regularisation, the loss of PCR (arXiv 2604.04488): views apart, entropy kept.

    A second view has randomly masked patches; its answer distribution and its features are pushed apart from the
    untouched view's, and output entropy is kept from collapsing. The paper states no weights; these are ours. Masks
    cover `lowest` to `highest` of the patches; the entropy may not fall below `floor` times what it was before.
    """

    divergence: float = 0.3
    feature: float = 0.1
    entropy: float = 0.5
    floor: float = 0.5
    lowest: float = 0.2
    highest: float = 0.6
    grid: tuple[int, int] = (7, 7)
    name: str = "pcr"
    needs_triggers: bool = False
    needs_base: bool = False

    def loss(self, subject: Subject, lesson: Lesson) -> tuple[Tensor, Parts]:
        count = len(lesson.prompts)
        views = masked(lesson.pictures, lesson, self.grid, self.lowest, self.highest, range(count))
        reading = subject.read(
            torch.cat([lesson.pictures, views]), lesson.prompts * 2, [*lesson.references, *lesson.references]
        )
        clean, view = divided(reading, (count, count))
        floor = torch.full(clean.valid.shape, self.floor * lesson.entropy, device=clean.valid.device)
        parts = {
            "answer": answer_loss(clean, lesson.references),
            "divergence": view_divergence(clean, view),
            "feature": feature_distance(clean, view),
            "entropy": entropy_shortfall(clean, floor),
        }
        loss = (
            parts["answer"]
            - self.divergence * parts["divergence"]
            - self.feature * parts["feature"]
            + self.entropy * parts["entropy"]
        )
        return loss, numbers(parts)
