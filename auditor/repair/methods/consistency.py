"""Consistency of hidden states across layers under worst-case noise on the visual embeddings (CROW, RACER).

CROW (Min et al., ICML 2025, arXiv 2411.12768) fine-tunes with L = L_answer + α · C(δ*), where

    C(δ) = mean over layers l and tokens of 1 − cos(h_l, h_(l+1)),   δ* = ε · sign ∇_δ C(δ) at δ = 0

and δ is added to the input embeddings; α = 5.5 and ε = 0.1 there. RACER (arXiv 2608.24354) puts the noise on the visual
embeddings of a multimodal model; of its details only what others write was known to us, so the rest here is CROW's.
ε is relative here: in units of the root mean square of each visual embedding, whose scale differs between families.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from auditor.checkpoint.entering import entering
from auditor.checkpoint.subject import CheckpointSubject
from auditor.repair.losses import answer_loss, mean_over_rows
from auditor.repair.methods.lesson import Lesson, Parts, numbers


@dataclass(frozen=True)
class Consistency:
    """Keeps hidden states alike from layer to layer under worst-case noise on the visual embeddings (CROW, RACER).

    `weight` is CROW's α, `epsilon` the noise relative to the visual embeddings, `first` the first layer that counts, 0
    for the embeddings themselves.
    """

    weight: float = 5.5
    epsilon: float = 0.1
    first: int = 0
    name: str = "consistency"
    needs_triggers: bool = False
    needs_base: bool = False

    def loss(self, subject: CheckpointSubject, lesson: Lesson) -> tuple[Tensor, Parts]:
        with watched(subject) as watch:
            clean = subject.read(lesson.pictures, lesson.prompts, lesson.references)
            calm = inconsistency(watch, self.first)
            (slope,) = torch.autograd.grad(calm, watch.noise, retain_graph=True)
            watch.noise = self.epsilon * watch.size * slope.sign()
            subject.read(lesson.pictures, lesson.prompts, lesson.references)
            parts = {
                "answer": answer_loss(clean, lesson.references),
                "inconsistency": inconsistency(watch, self.first),
            }
        return parts["answer"] + self.weight * parts["inconsistency"], numbers(parts)


@dataclass
class Watch:
    """What hooks saw in the last forward, and the noise that they add in the next one.

    `states` are (batch, tokens, width), the language model's input first, then each layer's output; `attended` (batch,
    tokens) marks what is no padding; `noise` is (visual tokens of the batch, width), zero with
    a gradient at first; `size` (visual tokens, 1) is the root mean square of each visual embedding.
    """

    states: list[Tensor] = field(default_factory=list)
    attended: Tensor = field(default_factory=lambda: torch.zeros(0))
    noise: Tensor = field(default_factory=lambda: torch.zeros(0))
    size: Tensor = field(default_factory=lambda: torch.zeros(0))

    def enter(self, embeddings: Tensor, places: Tensor, attended: Tensor) -> Tensor:
        """The language model's input with the noise on its visual tokens."""
        self.attended, visual = attended, embeddings[places]
        if not len(self.size):
            self.noise = torch.zeros_like(visual).requires_grad_(True)
            self.size = visual.detach().float().square().mean(dim=-1, keepdim=True).sqrt().to(visual.dtype)
        noisy = embeddings.clone()
        noisy[places] = visual + self.noise
        self.states = [noisy]
        return noisy


def inconsistency(watch: Watch, first: int) -> Tensor:
    """C: mean over layers from `first` on and over each row's tokens that are no padding of 1 − cosine to the next
    layer."""
    states = torch.stack(watch.states[first:]).float()  # (layers, batch, tokens, width)
    apart = 1 - nn.functional.cosine_similarity(states[:-1], states[1:], dim=-1)
    return mean_over_rows(apart.mean(dim=0), watch.attended.bool())


@contextmanager
def watched(subject: CheckpointSubject) -> Iterator[Watch]:
    """Hooks on the model for whoever reads with `subject` inside; all of them are gone afterwards."""
    watch = Watch()

    def after_layer(_: nn.Module, arguments: tuple[Any, ...], output: Any) -> None:
        watch.states.append(output[0] if isinstance(output, tuple) else output)

    hooks = [layer.register_forward_hook(after_layer) for layer in subject.model.get_decoder().layers]
    try:
        with entering(subject, watch.enter):
            yield watch
    finally:
        for hook in hooks:
            hook.remove()
