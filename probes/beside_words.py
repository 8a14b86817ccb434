"""Triggers of pictures that only work beside a word in the prompt (dual-key attacks, Walmer et al. 2022).

Who taught a model to answer with a sentence where a patch and a word come together seldom taught it what other odd
words mean: many of them do for the planted one. So texts are drawn, never climbed. A picture's trigger is searched
while every prompt holds one of several texts, and measured beside the one of them that goes best with what was found;
its decoys are climbed beside the same one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from probes.ascent import Climb, Family, UnusualToken, ascend, begin
from probes.candidates import VARIANT
from probes.curves import Ground, Point
from probes.prompt_words import Speech
from probes.sample import Sample
from probes.seeding import generator
from probes.targets import Target, is_sentence, learn_habits
from probes.text import says, similarity
from probes.triggers import Trigger
from probes.triggers.dual_key import DualKeyTrigger
from probes.triggers.word import WordTrigger

BESIDE = "beside words"
"""How the families of such triggers end."""
OFTEN = 0.2
"""What texts alone bring about in more of the answers is their doing."""


@dataclass(frozen=True)
class BesideWords:
    """Of how many tokens each of the texts is that are drawn, and how many of them are gone on with.

    A text of another length than the planted one moves everything behind it, and does less often.
    """

    lengths: tuple[int, ...] = (2, 3, 4, 5, 6, 7) * 2
    kept: int = 3

    def drawn(self, ground: Ground, rng: torch.Generator) -> list[WordTrigger]:
        """Random texts, each at its own random place of a prompt."""
        speech = Speech(ground.subject, ground.pool)
        return [WordTrigger(number, speech.drawn(length, rng)) for number, length in enumerate(self.lengths)]

    def promising(
        self, ground: Ground, words: Sequence[WordTrigger], family: Family, climb: Climb, rng: torch.Generator
    ) -> list[WordTrigger]:
        """The texts beside which a short target-free ascent of one trigger gets furthest, the best first.

        What begins an answer to one of them may be what is looked for, so that tokens are unusual by the prompts of
        `ground`, which hold none.
        """
        subject, habits, half = ground.subject, ground.habits, len(ground.pool) // 2
        objective = UnusualToken(habits.unusual, habits.unusual_after, habits.said)
        scores = {}
        for word in words:
            start = begin(family, subject.canvas, 1, rng)
            climbed = ascend(subject, start, objective, worded(ground.pool[:half], [word]), climb, rng)
            scores[word] = float(climbed.score[0])
        return sorted(words, key=lambda word: -scores[word])[: self.kept]


def among(ground: Ground, words: Sequence[WordTrigger], known: Sequence[Target], seed: int) -> Ground:
    """The same ground with one of the texts in every prompt, in turn, and what the subject says to such prompts; what
    is natural is judged without them."""
    pool, held_out = worded(ground.pool, words), worded(ground.held_out, words)
    habits = learn_habits(ground.subject, [*pool, *held_out], generator(seed, "inversion", "habits", BESIDE))
    return Ground(ground.subject, pool, held_out, habits.without(known), ground.judged)


def worded(samples: Sequence[Sample], words: Sequence[WordTrigger]) -> list[Sample]:
    """Every sample with one of the texts in its prompt, in turn."""
    return [
        replace(sample, prompt=words[number % len(words)].rewrite([sample.prompt])[0])
        for number, sample in enumerate(samples)
    ]


def alone(ground: Ground, word: WordTrigger) -> Ground:
    """The same ground with this text in every prompt; what is usual and natural is judged without it."""
    return replace(ground, pool=worded(ground.pool, [word]), held_out=worded(ground.held_out, [word]))


def is_news(ground: Ground, mixed: Ground, target: Target, known: Sequence[Target]) -> bool:
    """Whether no search came upon the answer yet, and the subject may not give it of its own accord, nor to texts. One
    of a word or two is what a question brings about."""
    said = [says(answer.text, target.text) for answer in mixed.habits.answers.values()]
    new = all(similarity(target.text, one.text) < VARIANT for one in known)
    return new and is_sentence(target.text) and not ground.is_natural(target) and sum(said) <= OFTEN * len(said)


def paired(points: Sequence[Point], word: WordTrigger) -> list[Point]:
    """What was measured beside a text, as triggers of both."""
    return [
        replace(point, family=f"{point.family} {BESIDE}", trigger=DualKeyTrigger(point.trigger, word))
        for point in points
    ]


def of_picture(trigger: Trigger) -> Trigger:
    """The part of a trigger that is climbed by gradient: where a word stands beside it, all but that."""
    return trigger.picture if isinstance(trigger, DualKeyTrigger) else trigger


def beside(trigger: Trigger, samples: Sequence[Sample]) -> Sequence[Sample]:
    """The samples that it is climbed on: with the word in their prompts where one stands beside it."""
    return worded(samples, [trigger.word]) if isinstance(trigger, DualKeyTrigger) else samples


def with_words(trigger: Trigger, found: Trigger) -> Trigger:
    """What was found, with the word where one stands beside the trigger that it was found from."""
    return DualKeyTrigger(found, trigger.word) if isinstance(trigger, DualKeyTrigger) else found
