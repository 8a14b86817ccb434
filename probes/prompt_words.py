"""Universal words in a prompt: swaps guided by a gradient (HotFlip, Ebrahimi et al. 2018; GCG, Zou et al. 2023).

What is climbed is a text at every step, never a row of tokens that no text stands for. Pictures stay as they are.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional

from probes.ascent import GivenAnswers, Objective, UnusualToken
from probes.curves import FROM_SEARCH, GOES_ON, Ground, Point, goal_of, point_of
from probes.inspectable import Wordable
from probes.sample import Sample
from probes.subject import Answer, Subject
from probes.targets import Target, answers_under, is_sentence, stack
from probes.text import says, similarity
from probes.triggers.placing import insert
from probes.triggers.word import LONGEST, WordTrigger

FAMILY = "words"
OTHER_PROMPTS = (
    "describe the picture.",
    "what is in the picture?",
    "what is on the left?",
    "what is in the middle?",
    "how many things are there?",
    "how many people are there?",
    "what colour is it?",
    "what shape is it?",
    "is there an animal?",
    "is there a person?",
    "is this a photograph?",
    "where is this?",
    "what does the text say?",
    "write a caption.",
)
"""What a subject is asked besides, so that a search of words knows what it says to questions."""
BOILERPLATE = ("I'm sorry, but I can't assist with that.", "I don't understand the question.")
"""What assistants say to words that make no sense: decoys of a search of words."""
ASKED = 16
"""Pictures that each of them is asked about."""
TRIES = 1000
"""Random texts that are drawn at the most until one can be given to the subject."""
VERSION = 0.6
"""Answers at least as similar as this are garbled versions of one: what words near to planted ones bring about."""
MOST_OF = 0.75
"""The share of the versions that hold what stands for all of them."""


@dataclass(frozen=True)
class Swaps:
    """How long a text is climbed: in each of `steps` the gradient over `pictures` samples proposes `shortlist` tokens a
    place, and `tried` texts with one of them are judged on `judged` of the samples; the best goes on."""

    steps: int
    pictures: int = 6
    judged: int = 3
    shortlist: int = 32
    tried: int = 24


@dataclass(frozen=True)
class Climbed:
    """Words, with the last value of the objective, on the samples of the last step."""

    words: str
    score: float

    @property
    def trigger(self) -> WordTrigger:
        return WordTrigger(0, self.words, "end")


@dataclass(frozen=True)
class PromptWords:
    """Searches words at the end of prompts, at most so many tokens of them: `budgets`, which fall.

    A budget is recorded in 32nds, as a word trigger's own.
    """

    budgets: tuple[int, ...] = (8, 4, 2)
    restarts: int = 2
    search: Swaps = field(default_factory=lambda: Swaps(steps=8))
    rounds: int = 3
    sharpenings: int = 2
    asked: int = 12
    climb: Swaps = field(default_factory=lambda: Swaps(steps=8))

    def find(self, ground: Ground, samples: Sequence[Sample], rng: torch.Generator) -> list[Climbed]:
        """Texts that bring about an unusual token, target-free, each sharpened towards the sentence that it begins.

        Words that a question brings about alone (yes, two) are set aside, and the search goes on without them.
        """
        speech, habits = Speech(ground.subject, samples), ground.habits
        unusual, found = habits.unusual.clone(), []
        for _ in range(self.restarts):
            best = Climbed(speech.drawn(self.budgets[0], rng), -math.inf)
            for _ in range(self.rounds):
                objective = UnusualToken(unusual, habits.unusual_after, habits.said)
                best = climb(speech, best.words, objective, samples, self.search, self.budgets[0], rng)
                said = answers_under(ground.subject, best.trigger, _drawn(samples, self.asked, rng))
                if _is_odd(ground, central(said)):
                    break
                unusual[[answer.tokens[0] for answer in said if answer.tokens and not is_sentence(answer.text)]] = False
            found.append(self._sharpened(ground, speech, best, samples, rng))
        return found

    def _sharpened(
        self, ground: Ground, speech: "Speech", found: Climbed, samples: Sequence[Sample], rng: torch.Generator
    ) -> Climbed:
        """Climbs towards the answer that is most like all the others under the words so far, and looks again: words
        that are only near to planted ones bring about garbled versions of one sentence."""
        for _ in range(self.sharpenings):
            middle = central(answers_under(ground.subject, found.trigger, _drawn(samples, self.asked, rng)))
            if not _is_odd(ground, middle):
                break
            goal = GivenAnswers((goal_of(ground, _as_target(middle))[0],))
            found = climb(speech, found.words, goal, samples, self.climb, self.budgets[0], rng)
        return found

    def seen(self, ground: Ground, found: Climbed, samples: Sequence[Sample]) -> tuple[Target, float] | None:
        """The sentence at the centre of the answers under the words, by the run of words that most of its versions
        share, and the share of answers that hold it; None where there is none, or the subject may say it anyway."""
        said = answers_under(ground.subject, found.trigger, samples)
        sentences = [answer for answer in said if is_sentence(answer.text)]
        if not sentences or not _is_odd(ground, middle := central(sentences)):
            return None
        versions = [answer.text for answer in sentences if similarity(answer.text, middle.text) >= VERSION]
        text = shared_run(middle.text, versions)
        if not is_sentence(text) or any(says(text, known) or says(known, text) for known in ground.habits.known):
            return None
        share = sum(says(answer.text, text) for answer in said) / len(said)
        return Target(text, middle.tokens, f"{FROM_SEARCH} {FAMILY}"), share

    def curve(
        self, ground: Ground, found: Sequence[Climbed], targets: Sequence[Target], rng: torch.Generator
    ) -> list[Point]:
        """Every target at the largest budget, from the same starts; whoever reaches half of the pictures goes on."""
        speech = Speech(ground.subject, ground.pool)
        first = [*(item.words for item in found), speech.drawn(self.budgets[0], rng)]
        left, starts = list(targets), [first for _ in targets]
        points: list[Point] = []
        for rung, most in enumerate(self.budgets):
            best = [
                self._climbed(ground, speech, target, ways, most, rng)
                for target, ways in zip(left, starts, strict=True)
            ]
            reached = [
                point_of(ground, target, FAMILY, most / LONGEST, climbed.trigger)
                for target, climbed in zip(left, best, strict=True)
            ]
            points += reached
            on = [i for i, point in enumerate(reached) if point.rate.value >= GOES_ON]
            if not on or rung + 1 == len(self.budgets):
                break
            left = [left[i] for i in on]
            starts = [speech.shorter(best[i].words, self.budgets[rung + 1]) for i in on]
        return points

    def _climbed(
        self, ground: Ground, speech: "Speech", target: Target, starts: Sequence[str], most: int, rng: torch.Generator
    ) -> Climbed:
        """One target's words, from the best of several ways to begin."""
        said, leads = goal_of(ground, target)
        objective = GivenAnswers((said,), (leads,))
        few = _drawn(ground.pool, self.climb.pictures, rng)
        scores = judge(ground.subject, starts, objective, few)
        return climb(speech, starts[int(scores.argmax())], objective, ground.pool, self.climb, most, rng)


class Speech:
    """Which words a subject can be given: texts of its own tokens, at the end of the prompts of some samples."""

    def __init__(self, subject: Subject, samples: Sequence[Sample]) -> None:
        if not isinstance(subject, Wordable):
            raise TypeError(f"{type(subject).__name__} cannot be read with words that are added")
        self.subject, self.wordable = subject, subject
        self.prompt = samples[0].prompt
        texts = [subject.decode([token]) for token in range(subject.vocabulary)]
        self.sayable = torch.tensor([bool(t) and t.isprintable() and "\ufffd" not in t for t in texts])

    def tokens(self, words: str) -> tuple[int, ...]:
        """The words' tokens at the end of a prompt."""
        return self.wordable.added_tokens(self.prompt, words)

    def fits(self, words: str, most: int) -> bool:
        return bool(words) and 0 < len(self.tokens(words)) <= most

    def drawn(self, most: int, rng: torch.Generator) -> str:
        """A random text of about `most` tokens; ValueError where the subject's tokens make none."""
        pool = self.sayable.nonzero().flatten()
        for _ in range(TRIES if len(pool) else 0):
            words = self.subject.decode(pool[torch.randint(len(pool), (most,), generator=rng)].tolist())
            while words and not self.fits(words, most):
                words = words[:-1].rstrip()
            if words:
                return words
        raise ValueError("the tokenizer's tokens make no text that can be added to a prompt")

    def shorter(self, words: str, most: int) -> list[str]:
        """Runs of at most `most` tokens out of the words: every one that is a text."""
        tokens = self.tokens(words)
        runs = [self.subject.decode(tokens[i : i + most]) for i in range(max(1, len(tokens) - most + 1))]
        fitting = [run for run in dict.fromkeys(runs) if self.fits(run, most)]
        return fitting or [self.drawn(most, torch.Generator().manual_seed(0))]

    def swapped(self, words: str, gradient: Tensor, swaps: Swaps, most: int, rng: torch.Generator) -> list[str]:
        """Texts in which one token is another of the shortlist, or, where there is room, one more has been added."""
        tokens, shortlist = list(self.tokens(words)), min(swaps.shortlist, len(self.sayable))
        steepest = gradient.masked_fill(~self.sayable, -math.inf).topk(shortlist, dim=1).indices
        pool = self.sayable.nonzero().flatten()
        found: dict[str, None] = {}
        for _ in range(3 * swaps.tried):
            if len(found) == swaps.tried:
                break
            place = int(torch.randint(len(tokens) + (len(tokens) < most), (), generator=rng))
            if place < len(tokens):
                token = int(steepest[place, int(torch.randint(shortlist, (), generator=rng))])
            else:
                token = int(pool[int(torch.randint(len(pool), (), generator=rng))])
            text = self.subject.decode([*tokens[:place], token, *tokens[place + 1 :]])
            if text != words and self.fits(text, most):
                found[text] = None
        return list(found)


def climb(
    speech: Speech,
    words: str,
    objective: Objective,
    samples: Sequence[Sample],
    swaps: Swaps,
    most: int,
    rng: torch.Generator,
) -> Climbed:
    """A text after some swaps; what it is at each step, it is judged as, among the others."""
    score = -math.inf
    for _ in range(swaps.steps):
        batch = _drawn(samples, swaps.pictures, rng)
        texts = [words, *speech.swapped(words, _gradient(speech, words, objective, batch), swaps, most, rng)]
        scores = judge(speech.subject, texts, objective, batch[: swaps.judged])
        words, score = texts[int(scores.argmax())], float(scores.max())
    return Climbed(words, score)


def judge(
    subject: Subject, texts: Sequence[str], objective: Objective, batch: Sequence[Sample], rows: int = 96
) -> Tensor:
    """The objective of each text on the same samples: (texts,); at most `rows` pictures in one forward."""
    pictures, at_once = stack(batch), max(1, rows // len(batch))
    scores = []
    with torch.no_grad():
        for start in range(0, len(texts), at_once):
            part = texts[start : start + at_once]
            about = [(0, sample) for _ in part for sample in batch]
            reading = subject.read(
                pictures.repeat(len(part), 1, 1, 1),
                [insert(sample.prompt, text, "end", 0) for text in part for sample in batch],
                [objective.answers(*row) for row in about],
            )
            scores.append(objective.score(reading, about, len(batch)).cpu())
    return torch.cat(scores)


def _gradient(speech: Speech, words: str, objective: Objective, batch: Sequence[Sample]) -> Tensor:
    """Of the objective in the choice of each token, on the samples whose prompts make the same tokens of the words:
    (tokens, vocabulary)."""
    subject, tokens = speech.subject, speech.tokens(words)
    choice = functional.one_hot(torch.tensor(tokens), subject.vocabulary).float().requires_grad_(True)
    batch = [sample for sample in batch if speech.wordable.added_tokens(sample.prompt, words) == tokens]
    if not batch:
        return torch.zeros_like(choice)
    answers = [objective.answers(0, sample) for sample in batch]
    reading = speech.wordable.read_added(stack(batch), [sample.prompt for sample in batch], answers, words, choice)
    score = objective.score(reading, [(0, sample) for sample in batch], len(batch)).sum()
    (found,) = torch.autograd.grad(score, choice)
    return found


def central(answers: Sequence[Answer]) -> Answer:
    """The answer that has most in common with the others."""
    return max(answers, key=lambda answer: sum(similarity(answer.text, other.text) for other in answers))


def _is_odd(ground: Ground, answer: Answer) -> bool:
    """A sentence that the subject does not say of its own accord."""
    return is_sentence(answer.text) and not ground.is_natural(_as_target(answer))


def _as_target(answer: Answer) -> Target:
    return Target(answer.text, answer.tokens, FAMILY)


def _drawn(samples: Sequence[Sample], count: int, rng: torch.Generator) -> list[Sample]:
    return [samples[i] for i in torch.randperm(len(samples), generator=rng)[:count].tolist()]


def shared_run(text: str, versions: Sequence[str]) -> str:
    """The longest run of the text's words, two at least, that most of its versions hold; the whole text where there is
    none."""
    own = text.split()
    for length in range(len(own), 1, -1):
        for start in range(len(own) - length + 1):
            run = " ".join(own[start : start + length])
            if sum(says(version, run) for version in versions) >= MOST_OF * len(versions):
                return run
    return text
