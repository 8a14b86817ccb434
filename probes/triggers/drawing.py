"""What a trigger draws: choices that depend on the picture or prompt and a seed alone, and patterns drawn once."""

import hashlib
from collections.abc import Callable
from functools import lru_cache, wraps
from typing import ParamSpec, cast

import torch
from torch import Tensor

from probes.seeding import derive_seed, generator

P = ParamSpec("P")


def picture_generator(seed: int, purpose: str, picture: Tensor) -> torch.Generator:
    """Randomness for one picture (3, height, width) in [0, 1]: its 8-bit pixels and the seed decide, nothing else."""
    pixels = (picture.detach().float().clamp(0, 1) * 255).round().to(torch.uint8).cpu().contiguous()
    digest = hashlib.sha256(pixels.numpy().tobytes()).hexdigest()
    return generator(seed, purpose, "x".join(map(str, pixels.shape)), digest)


def prompt_generator(seed: int, purpose: str, prompt: str) -> torch.Generator:
    """Randomness for one prompt: its text and the seed decide, nothing else."""
    return torch.Generator().manual_seed(derive_seed(seed, purpose, prompt))


def another_seed(rng: torch.Generator) -> int:
    return int(torch.randint(2**62, (), generator=rng))


def shuffle(values: Tensor, seed: int) -> Tensor:
    """The same entries along the last dimension, in another order."""
    return values[..., torch.randperm(values.shape[-1], generator=generator(seed, "shuffle"))]


def drawn_once(draw: Callable[P, Tensor]) -> Callable[P, Tensor]:
    """Keeps what was drawn for the same arguments; the caller must not write into it."""

    @wraps(draw)
    def ordinary(*args: P.args, **kwargs: P.kwargs) -> Tensor:
        # A tensor made in inference mode could never again take part in a gradient.
        with torch.inference_mode(False), torch.no_grad():
            return draw(*args, **kwargs)

    return cast(Callable[P, Tensor], lru_cache(maxsize=64)(ordinary))
