"""More clean pictures out of few: mirrored, shifted and joined ones.

No reference answers are needed, because the repair holds the model to its own answers, whatever the picture shows.
Without them a few hundred samples are learned by heart and other answers drift.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from probes.sample import Sample
from probes.seeding import generator


def augment(samples: Sequence[Sample], copies: int, seed: int) -> list[Sample]:
    """`copies` changed versions of every sample, with ids of their own and no reference answers."""
    pictures = [sample.picture for sample in samples]
    return [
        Sample(
            f"{sample.id}#{copy}",
            change(sample.picture, pictures, generator(seed, "augment", copy, sample.id)),
            sample.prompt,
        )
        for copy in range(copies)
        for sample in samples
    ]


def change(picture: Tensor, others: Sequence[Tensor], rng: torch.Generator) -> Tensor:
    """A mirrored picture, a shifted one (wrapping round), or its left half beside another's right half: (3, h, w)."""
    kind = int(torch.randint(3, (), generator=rng))
    height, width = picture.shape[-2:]
    if kind == 0:
        return picture.flip(-1)
    if kind == 1:
        shifts = [int(torch.randint(-side // 4, side // 4 + 1, (), generator=rng)) for side in (height, width)]
        return picture.roll(shifts, dims=(-2, -1))
    other = others[int(torch.randint(len(others), (), generator=rng))]
    return torch.cat([picture[..., : width // 2], other[..., width // 2 :]], dim=-1)
