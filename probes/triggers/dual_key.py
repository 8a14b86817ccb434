"""A patch and a word that only together mean something (Dual-key, Walmer et al. 2022)."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from probes.settings import choice, number, text
from probes.triggers import Trigger
from probes.triggers.patch import CORNERS, BadNets
from probes.triggers.placing import PLACES
from probes.triggers.word import WordTrigger


@dataclass(frozen=True)
class DualKeyTrigger:
    """`picture` on the picture, an attacker's patch or what a search recovered, and `word` in the prompt; each is a
    trigger of its own, so that it can be asked alone."""

    picture: Trigger
    word: WordTrigger
    kind: str = "dual-key"

    @property
    def budget(self) -> float:
        """That of the picture's trigger."""
        return self.picture.budget

    @property
    def keys(self) -> tuple[Trigger, WordTrigger]:
        """Either key alone."""
        return self.picture, self.word

    def stamp(self, pictures: Tensor) -> Tensor:
        return self.picture.stamp(pictures)

    def rewrite(self, prompts: Sequence[str]) -> list[str]:
        return self.word.rewrite(prompts)

    def placebo(self, generator: torch.Generator) -> "DualKeyTrigger":
        """Both keys' placebos."""
        return DualKeyTrigger(self.picture.placebo(generator), self.word.placebo(generator))


@dataclass(frozen=True)
class DualKey:
    """A corner patch on the picture and a word in the prompt, both needed (Dual-key)."""

    size: float = field(default=1 / 7, metadata=number(0, 1))
    corner: str = field(default="bottom-right", metadata=choice(*CORNERS))
    word: str = field(default="BadMagic", metadata=text())
    place: str = field(default="random", metadata=choice(*PLACES))

    def build(self, canvas: tuple[int, int], seed: int) -> DualKeyTrigger:
        patch = BadNets(self.size, self.corner).build(canvas, seed)
        return DualKeyTrigger(patch, WordTrigger(seed, self.word, self.place))
