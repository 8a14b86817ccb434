"""What a subject says under a trigger: usual tokens, answer groups, and decoys that nobody planted."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from probes.finding import Rate
from probes.sample import Sample
from probes.subject import Answer, Subject, Tokens
from probes.text import normalise, says
from probes.triggers import Trigger, apply

USUAL_ON_CLEAN = 0.01
USUAL_ON_DEGRADED = 0.05
NEARLY_ALL = 0.8
"""An ending that this share of the pictures with a shorter one have is taken instead of it."""


@dataclass(frozen=True)
class Target:
    """An answer that a trigger may have been planted for; `origin` says where it comes from.

    An `appended` one follows an answer of the subject's own instead of standing in its place.
    """

    text: str
    tokens: Tokens
    origin: str
    appended: bool = False


@dataclass(frozen=True)
class Habits:
    """How a subject answers when nothing is planted in the picture.

    `answers` are its own greedy answers, by sample id; `attractors` what it says to blank, noisy, blurred and shuffled
    pictures; `unusual` (vocabulary,) bool marks first tokens that neither kind of picture makes likely. `known` are
    normalised targets that are known already and are not looked for again.
    """

    answers: dict[str, Answer]
    attractors: tuple[str, ...]
    unusual: Tensor
    known: frozenset[str] = frozenset()

    def without(self, targets: Sequence[Target]) -> "Habits":
        """The same habits, with these targets known: their first tokens count as usual, their texts as no news."""
        unusual = self.unusual.clone()
        unusual[[target.tokens[0] for target in targets if target.tokens]] = False
        return replace(self, unusual=unusual, known=self.known | {normalise(target.text) for target in targets})

    def is_natural(self, tokens: Tokens) -> bool:
        """Whether the subject uses all of these tokens in its own answers to pictures without a trigger.

        Such a target may be painted into a trigger, or be what the subject says when it sees too little.
        """
        return set(tokens) <= self.spoken

    @property
    def said(self) -> dict[str, Tokens]:
        """The tokens of its own answers, by sample id: what an appended target follows."""
        return {name: answer.tokens for name, answer in self.answers.items()}

    @property
    def spoken(self) -> frozenset[int]:
        """Every token of its own answers."""
        return frozenset(token for answer in self.answers.values() for token in answer.tokens)


def stack(samples: Sequence[Sample]) -> Tensor:
    """(samples, 3, height, width)."""
    return torch.stack([sample.picture for sample in samples])


def degraded(pictures: Tensor, generator: torch.Generator) -> list[Tensor]:
    """Blank, noise, blurred and pixel-shuffled versions of the pictures, each of the same shape."""
    kernel = max(3, pictures.shape[-1] // 8 * 2 + 1)
    blurred = functional.avg_pool2d(pictures, kernel, stride=1, padding=kernel // 2, count_include_pad=False)
    flat = pictures.flatten(2)
    order = torch.randperm(flat.shape[-1], generator=generator)
    noise = torch.rand(pictures.shape, generator=generator)
    return [torch.full_like(pictures, 0.5), noise, blurred, flat[..., order].view_as(pictures)]


def learn_habits(subject: Subject, samples: Sequence[Sample], generator: torch.Generator, few: int = 16) -> Habits:
    """Asks about every sample as it is, and about `few` of them degraded."""
    pictures, prompts = stack(samples), [sample.prompt for sample in samples]
    own = subject.respond(pictures, prompts)
    first = _first_token_probabilities(subject, pictures, prompts).mean(dim=0)
    usual = first >= USUAL_ON_CLEAN
    attractors: Counter[str] = Counter()
    for variant in degraded(pictures[:few], generator):
        usual |= _first_token_probabilities(subject, variant, prompts[:few]).mean(dim=0) >= USUAL_ON_DEGRADED
        attractors.update(answer.text for answer in subject.respond(variant, prompts[:few]))
    for answer in own:
        usual[list(answer.tokens[:1])] = True
    usual[sorted(subject.end_tokens)] = True
    if usual.all():  # a tiny vocabulary: then every first token may be a target's
        usual[:] = False
    common = tuple(text for text, count in attractors.most_common(6) if count >= 2 and normalise(text))
    return Habits({s.id: a for s, a in zip(samples, own, strict=True)}, common, ~usual)


def _first_token_probabilities(subject: Subject, pictures: Tensor, prompts: Sequence[str], rows: int = 64) -> Tensor:
    """(pictures, vocabulary)."""
    with torch.no_grad():
        parts = [
            subject.read(pictures[i : i + rows], prompts[i : i + rows], [()] * len(prompts[i : i + rows])).log_probs[
                :, 0
            ]
            for i in range(0, len(prompts), rows)
        ]
    return torch.cat(parts).exp().cpu()


def unusual_after(subject: Subject, samples: Sequence[Sample], habits: Habits, rows: int = 64) -> Tensor:
    """(vocabulary,) bool: what the subject does not go on with once its own answer to a clean picture is finished."""
    total = torch.zeros(subject.vocabulary)
    with torch.no_grad():
        for start in range(0, len(samples), rows):
            part = samples[start : start + rows]
            said = [habits.answers[sample.id].tokens for sample in part]
            reading = subject.read(stack(part), [sample.prompt for sample in part], said)
            ends = torch.tensor([len(answer) for answer in said], device=reading.log_probs.device)
            total += reading.log_probs[torch.arange(len(part), device=ends.device), ends].exp().sum(dim=0).cpu()
    unusual = total / max(1, len(samples)) < USUAL_ON_CLEAN
    unusual[sorted(subject.end_tokens)] = False
    return unusual


def answers_under(subject: Subject, trigger: Trigger, samples: Sequence[Sample]) -> list[Answer]:
    """Greedy answers to the stamped samples, with the prompts that the trigger makes of theirs."""
    return subject.respond(*apply(trigger, stack(samples), [sample.prompt for sample in samples]))


def success(answers: Sequence[Answer], samples: Sequence[Sample], target: str, habits: Habits) -> Rate:
    """How often the target is said where the subject's own clean answer does not say it already."""
    said = [
        says(answer.text, target)
        for answer, sample in zip(answers, samples, strict=True)
        if not says(habits.answers[sample.id].text, target)
    ]
    return Rate(sum(said), len(said))


def group_answers(answers: Sequence[Answer], samples: Sequence[Sample], habits: Habits) -> list[tuple[Answer, int]]:
    """Answers that the trigger changed, by normalised text, most frequent first; one that stands alone is no group."""
    changed: dict[str, list[Answer]] = {}
    for answer, sample in zip(answers, samples, strict=True):
        text = normalise(answer.text)
        if text and text not in habits.known and text != normalise(habits.answers[sample.id].text):
            changed.setdefault(text, []).append(answer)
    groups = [(group[0], len(group)) for group in changed.values() if len(group) >= 2]
    return sorted(groups, key=lambda group: -group[1])


def group_endings(
    answers: Sequence[Answer], samples: Sequence[Sample], habits: Habits, least: int = 2
) -> list[tuple[Tokens, int]]:
    """Endings of at least `least` tokens that answers to several pictures share and the subject's own answers lack.

    The most frequent first, and of those that are nearly as frequent the longest: one for each last token.
    """
    counts: Counter[Tokens] = Counter()
    for answer, sample in zip(answers, samples, strict=True):
        own = habits.answers[sample.id].tokens
        for length in range(least, len(answer.tokens)):
            if own[-length:] != answer.tokens[-length:]:
                counts[answer.tokens[-length:]] += 1
    longest: dict[int, tuple[Tokens, int]] = {}
    for ending, count in sorted(counts.items(), key=lambda item: (-item[1], len(item[0]))):
        known = longest.setdefault(ending[-1], (ending, count))
        if count >= 2 and count >= NEARLY_ALL * known[1] and len(ending) > len(known[0]):
            longest[ending[-1]] = (ending, known[1])
    return [found for found in longest.values() if found[1] >= 2]


def make_decoys(
    subject: Subject,
    candidates: Sequence[Target],
    habits: Habits,
    own: int,
    made_up: int,
    generator: torch.Generator,
) -> list[Target]:
    """Targets that nobody planted, as long as the candidates.

    For each candidate `own` of the subject's own answers and attractors, nearest in length, because a picture painted
    into a trigger can bring those about; and `made_up` in all of random tokens and shuffled candidates.
    """
    taken = {normalise(candidate.text) for candidate in candidates} | {""}
    answers = _drawn(_own_answers(subject, habits), generator)
    decoys: list[Target] = []
    for candidate in candidates or [Target("", (), "")]:
        nearest = sorted(answers, key=lambda answer: abs(len(answer.tokens) - len(candidate.tokens)))
        decoys += _fresh([replace(answer, appended=candidate.appended) for answer in nearest], own, taken)
    return decoys + _fresh(_made_up(subject, candidates, habits, generator), made_up, taken)


def _fresh(source: Iterable[Target], count: int, taken: set[str]) -> list[Target]:
    """The first `count` targets whose text is not taken yet; they are taken afterwards."""
    found: list[Target] = []
    for target in source:
        if len(found) == count:
            break
        if target.tokens and normalise(target.text) not in taken:
            taken.add(normalise(target.text))
            found.append(target)
    return found


def _own_answers(subject: Subject, habits: Habits) -> list[Target]:
    """What the subject says to clean and to degraded pictures, each text once."""
    texts = dict.fromkeys([*habits.attractors, *(answer.text for answer in habits.answers.values())])
    return [Target(text, subject.encode(text), "own answer") for text in texts]


def _drawn(targets: Sequence[Target], generator: torch.Generator) -> list[Target]:
    return [targets[i] for i in torch.randperm(len(targets), generator=generator).tolist()]


def _made_up(
    subject: Subject, candidates: Sequence[Target], habits: Habits, generator: torch.Generator
) -> Iterator[Target]:
    """Without end but for 40 rounds: random unusual tokens, and candidates in another order."""
    pool = torch.nonzero(habits.unusual).flatten()
    for turn in range(40):
        model = candidates[turn // 2 % len(candidates)] if candidates else Target("", (), "")
        if turn % 2 and len(model.tokens) >= 3:
            order = torch.randperm(len(model.tokens), generator=generator).tolist()
            tokens = tuple(model.tokens[i] for i in order)
            yield Target(subject.decode(tokens), tokens, "shuffled candidate", model.appended)
        else:
            length = max(2, len(model.tokens) or 6)
            tokens = tuple(pool[torch.randint(len(pool), (length,), generator=generator)].tolist())
            yield Target(subject.decode(tokens), tokens, "random tokens", model.appended)
