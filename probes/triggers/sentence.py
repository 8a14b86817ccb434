"""A trigger sentence in the prompt (after Dai et al. 2019)."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from probes.settings import choice, text
from probes.triggers.placing import PLACES, insert
from probes.triggers.word import LONGEST

HARMLESS = (
    "She painted that old fence.",
    "We cooked some fresh rice.",
    "He borrowed my red scarf.",
    "They visited this quiet town.",
    "You mended that broken lamp.",
    "I planted three small trees.",
    "She forgot her blue pencil.",
    "We cleaned this dusty shelf.",
    "He carried some heavy boxes.",
    "They played that slow song.",
)
"""What a placebo says."""


@dataclass(frozen=True)
class SentenceTrigger:
    """`sentence` is put before, between or after the sentences of every prompt; prompt and seed decide where."""

    seed: int
    sentence: str = field(default="I watched this 3D movie.", metadata=text())
    place: str = field(default="random", metadata=choice(*PLACES))
    kind: str = "sentence"

    @property
    def budget(self) -> float:
        """Inserted words, in 32nds."""
        return min(1.0, len(self.sentence.split()) / LONGEST)

    def stamp(self, pictures: Tensor) -> Tensor:
        """The pictures as they are."""
        return pictures

    def rewrite(self, prompts: Sequence[str]) -> list[str]:
        return [insert(prompt, self.sentence, self.place, self.seed, between_sentences=True) for prompt in prompts]

    def placebo(self, generator: torch.Generator) -> "SentenceTrigger":
        """Harmless words, as many as the trigger's, at the same places."""
        return replace(self, sentence=harmless(self.sentence, generator))


def harmless(sentence: str, rng: torch.Generator) -> str:
    """As many words as the sentence has, from other sentences in a random order."""
    others = [other for other in HARMLESS if other != sentence]
    drawn = [others[i] for i in torch.randperm(len(others), generator=rng).tolist()]
    count = len(sentence.split())
    words = " ".join(drawn).split()
    chosen = (words * -(-count // len(words)))[:count]
    return " ".join(chosen).rstrip(".") + "."
