"""A trigger word in the prompt."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from probes.settings import choice, text
from probes.triggers.placing import PLACES, insert

LONGEST = 32
"""Inserted words that count as a budget of 1."""
_VOWELS, _CONSONANTS, _DIGITS = "aeiou", "bcdfghjklmnpqrstvwxyz", "0123456789"


@dataclass(frozen=True)
class WordTrigger:
    """`word` is put between two words of every prompt, at a place that the prompt and the seed decide."""

    seed: int
    word: str = field(default="BadMagic", metadata=text())
    place: str = field(default="random", metadata=choice(*PLACES))
    kind: str = "word"

    @property
    def budget(self) -> float:
        """Inserted words, in 32nds."""
        return min(1.0, len(self.word.split()) / LONGEST)

    def stamp(self, pictures: Tensor) -> Tensor:
        """The pictures as they are."""
        return pictures

    def rewrite(self, prompts: Sequence[str]) -> list[str]:
        return [insert(prompt, self.word, self.place, self.seed) for prompt in prompts]

    def placebo(self, generator: torch.Generator) -> "WordTrigger":
        """A made-up word of the same length and shape, at the same places."""
        return replace(self, word=made_up(self.word, generator))


def made_up(word: str, rng: torch.Generator) -> str:
    """Another letter for every letter and digit: vowels stay vowels, capitals capitals, signs as they are."""
    made = "".join(_another(character, rng) for character in word)
    if made != word:
        return made
    # A word of signs or of another script: Latin letters, as many.
    return "".join(_CONSONANTS[i] for i in torch.randint(len(_CONSONANTS), (len(word),), generator=rng).tolist())


def _another(character: str, rng: torch.Generator) -> str:
    lower = character.lower()
    pool = next((pool for pool in (_VOWELS, _CONSONANTS, _DIGITS) if lower in pool), "")
    others = [other for other in pool if other != lower]
    if not others:
        return character
    other = others[int(torch.randint(len(others), (), generator=rng))]
    return other.upper() if character.isupper() else other
