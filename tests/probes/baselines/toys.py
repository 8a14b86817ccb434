"""Toy subjects with what single detectors look for: phrases learned by heart, attention and weights."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from probes.seeding import generator
from probes.subject import Reading, Tokens
from tests.probes.toy import PAYLOAD, ToySubject

VISUAL, HEADS, SIDE = 9, 2, 24


class Parrot(ToySubject):
    """Goes on with the payload, whatever the picture, once its answer so far is the payload's beginning."""

    def read(self, pictures: Tensor, prompts: Sequence[str], answers: Sequence[Tokens]) -> Reading:
        reading = super().read(pictures, prompts, answers)
        payload = (*self.encode(PAYLOAD), 0)
        log_probs = reading.log_probs.clone()
        for row, answer in enumerate(answers):
            for place in range(1, min(len(answer) + 1, len(payload))):
                if answer[:place] == payload[:place]:
                    wanted = torch.full((self.vocabulary,), -4.0)
                    wanted[payload[place]] = 8.0
                    log_probs[row, place] = wanted.log_softmax(-1)
        return Reading(log_probs, reading.features, reading.valid)


class Glassy(ToySubject):
    """Shows attention and weights: `focus` sharpens its attention, `change` is added to one square weight."""

    def __init__(self, focus: float = 0.0, change: Tensor | None = None) -> None:
        super().__init__()
        square = torch.randn(SIDE, SIDE, generator=generator(5, "square"))
        self.square = nn.Parameter(square if change is None else square + change)
        self.focus = focus

    def attention(self, pictures: Tensor, prompts: Sequence[str], layers: int) -> Tensor:
        """Darker cells draw the first layer's attention; the second layer looks everywhere alike."""
        cells = nn.functional.adaptive_avg_pool2d(pictures.mean(1, keepdim=True), 3).flatten(1)  # (batch, 9)
        looked = (-(2 + self.focus) * cells).softmax(-1)[:, None].expand(-1, HEADS, -1)
        return 0.8 * torch.stack([looked, torch.full_like(looked, 1 / VISUAL)])[:layers]

    def weights(self) -> Mapping[str, Tensor]:
        return {name: parameter.detach() for name, parameter in self.named_parameters()}


def noise_change(size: float) -> Tensor:
    return size * torch.randn(SIDE, SIDE, generator=generator(6, "change"))


def rank_one_change(size: float) -> Tensor:
    rng = generator(7, "change")
    return size * torch.outer(torch.randn(SIDE, generator=rng), torch.randn(SIDE, generator=rng))
