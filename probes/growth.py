"""Growth: a trigger and the answer that it brings about are found together, token by token.

A target that begins with a usual word, or is made of the subject's own words, is invisible to a search for unusual
first tokens; growth comes upon it (DESIGN §5.2).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from probes.ascent import Climb, Population, Rows, ascend, following
from probes.sample import Sample
from probes.subject import Reading, Subject, Tokens, mean_log_prob

SURE, LONGEST_OPENING = math.log(0.9), 16
"""Mean log-probability, in nats, of a token that begins nearly every answer, and how many of them may."""


@dataclass(frozen=True)
class Growth:
    """Mean log-probability of each trigger's prefix so far, plus a soft maximum over what could come next."""

    prefixes: tuple[Tokens, ...]

    def answers(self, index: int, sample: Sample) -> Tokens:
        return self.prefixes[index]

    def score(self, reading: Reading, rows: Rows, pictures: int) -> Tensor:
        said = [self.answers(*row) for row in rows]
        prefix = mean_log_prob(reading, said).view(-1, pictures).mean(dim=1)
        return prefix + following(reading, said, pictures).logsumexp(dim=-1)


def grow(
    subject: Subject,
    population: Population,
    samples: Sequence[Sample],
    climb: Climb,
    longest: int,
    generator: torch.Generator,
    begun: Tokens = (),
) -> tuple[Population, list[Tokens]]:
    """Grows trigger and answer in turn, `climb.steps` a token, to the end of the answer or `longest` tokens beyond what
    is `begun`."""
    prefixes: list[Tokens] = [begun for _ in population.values]
    ended = [False] * len(prefixes)
    for _ in range(longest):
        population = ascend(subject, population, Growth(tuple(prefixes)), samples, climb, generator)
        likely = next_tokens(subject, population, prefixes, samples, climb.pictures, generator)
        for i, token in enumerate(likely):
            ended[i] = ended[i] or token in subject.end_tokens
            if not ended[i]:
                prefixes[i] = (*prefixes[i], token)
        if all(ended):
            break
    return population, prefixes


def next_tokens(
    subject: Subject,
    population: Population,
    prefixes: Sequence[Tokens],
    samples: Sequence[Sample],
    pictures: int,
    generator: torch.Generator,
) -> list[int]:
    """The likeliest next token over `pictures` pictures under each trigger, after its prefix."""
    chosen = torch.randperm(len(samples), generator=generator)[:pictures].tolist()
    batch = [samples[i] for i in chosen]
    stack = torch.stack([sample.picture for sample in batch])
    tokens = []
    with torch.no_grad():
        for trigger, prefix in zip(population.triggers(), prefixes, strict=True):
            reading = subject.read(trigger.stamp(stack), [s.prompt for s in batch], [prefix] * len(batch))
            tokens.append(int(reading.log_probs[:, len(prefix)].mean(dim=0).argmax()))
    return tokens


def opening(subject: Subject, samples: Sequence[Sample]) -> Tokens:
    """What the subject begins nearly every answer with, whatever the picture: "the picture shows a" tells nothing."""
    pictures, prompts = torch.stack([sample.picture for sample in samples]), [sample.prompt for sample in samples]
    said: Tokens = ()
    while len(said) < LONGEST_OPENING:
        with torch.no_grad():
            reading = subject.read(pictures, prompts, [said] * len(prompts))
        likely = reading.log_probs[:, len(said)].mean(dim=0)
        token = int(likely.argmax())
        if token in subject.end_tokens or float(likely.max()) < SURE:
            break
        said = (*said, token)
    return said
