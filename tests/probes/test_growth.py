"""What an answer begins with anyway, and what grows beyond it."""

import torch
from torch import Tensor

from probes.ascent import AdditiveFamily, Climb, begin
from probes.growth import grow, opening
from probes.seeding import generator
from tests.probes.toy import CANVAS, WORDS, ToySubject, scenes


class Announcing(ToySubject):
    """Begins every answer with the same words; the third one follows the picture."""

    def logits(self, pictures: Tensor, places: int) -> Tensor:
        logits = super().logits(pictures, places)
        for place, word in enumerate(("visit", "our")[:places]):
            logits[:, place] = torch.tensor([9.0 if word == other else -4.0 for other in WORDS])
        return logits


def test_an_opening_ends_where_answers_follow_the_picture() -> None:
    samples = scenes(1, "a", 12)
    assert [WORDS[token] for token in opening(Announcing(), samples)] == ["visit", "our"]
    assert opening(ToySubject(), samples) == ()


def test_an_answer_that_is_always_the_same_is_an_opening_to_its_end() -> None:
    silent = ToySubject(lambda pictures: torch.ones(len(pictures)), payload="visit our shop")
    assert [WORDS[token] for token in opening(silent, scenes(1, "a", 12))] == ["visit", "our", "shop"]


def test_what_is_begun_is_not_counted() -> None:
    subject, samples = Announcing(), scenes(1, "a", 12)
    start = begin(AdditiveFamily(0.1), CANVAS, 2, generator(1))
    begun = opening(subject, samples)
    _, grown = grow(subject, start, samples, Climb(steps=2, pictures=4), 1, generator(2), begun)
    assert all(len(prefix) == len(begun) + 1 and prefix[: len(begun)] == begun for prefix in grown)
