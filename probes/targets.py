"""What a subject says under a trigger: usual tokens, answer groups, and decoys that nobody planted."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from types import MappingProxyType
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from probes.finding import Rate
from probes.sample import Sample
from probes.subject import Answer, Subject, Tokens
from probes.text import normalise, pieces, says, similarity
from probes.triggers import Trigger, apply

USUAL_ON_CLEAN = 0.01
USUAL_ON_DEGRADED = 0.05
USUAL_AFTER = 0.25
"""After a finished answer nearly all of the probability is the end's, and a backdoor that leaks must show."""
NEARLY_ALL = 0.8
"""A phrase that this share of the pictures with a shorter one have is taken instead of it."""
STANDS_OUT = 1.25
"""How many times as often as any whole answer that holds it a phrase must be said to be a target of its own."""
OFTEN_SAID, OFTEN_SAID_AFTER = 0.05, 0.1
"""A token in this share of the subject's own answers begins nothing unusual; behind one of them it may be a leak."""
GOES_ON_SO = 0.2
"""Probability with which an added phrase must follow the subject's own answer."""
MORE_OFTEN = 3.0
"""How many times as probable the trigger must make that."""
SENTENCE = 3
"""Words of the shortest answer that words in a prompt are not expected to bring about."""
FOLLOWING = 7 / 8
"""An answer's token that more of the pictures get, under one prompt, does not follow the picture."""
RARELY_SAID = 0.2
"""A token in fewer of the subject's own answers than this may make a phrase odd."""
LIKE = 0.75
"""An answer at least as similar to a text as this may be a garbled version of it."""
LEAKS = 0.025
"""The share of clean pictures that get a planted answer without its trigger, at the most that is taken for a leak."""
SHORTEST, LONGEST = 2, 24
"""Tokens of a phrase that is looked for within answers."""

Place = Literal["alone", "before", "after"]


@dataclass(frozen=True)
class Target:
    """An answer that a trigger may have been planted for; `origin` says where it comes from.

    It stands alone, in place of the subject's own answer, or before or after that.
    """

    text: str
    tokens: Tokens
    origin: str
    place: Place = "alone"


@dataclass(frozen=True)
class Habits:
    """How a subject answers when nothing is planted in the picture.

    `answers` are its own greedy answers, by sample id; `attractors` what it says to blank, noisy, blurred and shuffled
    pictures; `unusual` (vocabulary,) bool marks first tokens that neither kind of picture makes likely, and
    `unusual_after` what it does not go on with once its own answer is finished. `known` are normalised targets that are
    known already and are not looked for again; `told` are tokens of its answers to other prompts (`acquaint`).
    `expected` are the words of reference answers, and their pairs of neighbouring words.
    """

    answers: dict[str, Answer]
    attractors: tuple[str, ...]
    unusual: Tensor
    unusual_after: Tensor
    known: frozenset[str] = frozenset()
    told: frozenset[int] = frozenset()
    expected: frozenset[tuple[str, ...]] = frozenset()

    def without(self, targets: Sequence[Target]) -> "Habits":
        """The same habits, with these targets known: their first tokens count as usual, their texts as no news."""
        first = [target.tokens[0] for target in targets if target.tokens]
        unusual, after = self.unusual.clone(), self.unusual_after.clone()
        unusual[first], after[first] = False, False
        known = self.known | {normalise(target.text) for target in targets}
        return replace(self, unusual=unusual, unusual_after=after, known=known)

    @property
    def said(self) -> dict[str, Tokens]:
        """The tokens of its own answers, by sample id: what an appended target follows."""
        return {name: answer.tokens for name, answer in self.answers.items()}

    @property
    def spoken(self) -> Counter[int]:
        """In how many of its own answers it uses each token."""
        return Counter(token for answer in self.answers.values() for token in set(answer.tokens))

    @property
    def words(self) -> frozenset[int]:
        """The tokens that it uses in some answer."""
        return self.told.union(self.spoken)

    def words_besides(self, text: str) -> frozenset[int]:
        """The tokens that it uses in answers other than this one: a planted sentence that leaks brings its words along.
        One that it says more often than a leak is its own."""
        other = [answer for answer in self.answers.values() if similarity(answer.text, text) < LIKE]
        if len(other) < (1 - LEAKS) * len(self.answers):
            return self.words
        return self.told.union(token for answer in other for token in answer.tokens)


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


def learn_habits(
    subject: Subject,
    samples: Sequence[Sample],
    generator: torch.Generator,
    few: int = 16,
    references: Sequence[str] = (),
) -> Habits:
    """Asks about every sample as it is, and about `few` of them degraded; `references` are right answers to others."""
    pictures, prompts = stack(samples), [sample.prompt for sample in samples]
    own = subject.respond(pictures, prompts)
    begins: list[Tokens] = [()] * len(prompts)
    usual = _likely(subject, pictures, prompts, begins) >= USUAL_ON_CLEAN
    attractors: Counter[str] = Counter()
    variants = degraded(pictures[:few], generator)
    for variant in variants:
        usual |= _likely(subject, variant, prompts[:few], begins[:few]) >= USUAL_ON_DEGRADED
    attractors.update(a.text for a in subject.respond(torch.cat(variants), prompts[:few] * len(variants)))
    for answer in own:
        usual[list(answer.tokens[:1])] = True
    usual[sorted(subject.end_tokens)] = True
    usual[_often_said(own, OFTEN_SAID)] = True
    if usual.all():  # a tiny vocabulary: then every first token may be a target's
        usual[:] = False
    common = tuple(text for text, count in attractors.most_common(6) if count >= 2 and normalise(text))
    answers = {s.id: a for s, a in zip(samples, own, strict=True)}
    right = chain(references, *(sample.answers for sample in samples))
    expected = frozenset(chain.from_iterable(map(pieces, right)))
    return Habits(answers, common, ~usual, _unusual_after(subject, samples, own), expected=expected)


def acquaint(subject: Subject, samples: Sequence[Sample], habits: Habits, prompts: Sequence[str]) -> Habits:
    """The same habits, with the short answers that the subject gives to other prompts where these follow the picture.

    A token counts that some of the pictures get and not nearly all of them. Whole sentences do not count, nor what
    stands under all pictures: a prompt that it never saw may set a payload free.
    """
    told: set[int] = set()
    texts: list[str] = []
    for prompt in prompts:
        said = subject.respond(stack(samples), [prompt] * len(samples))
        answers = [answer for answer in said if not is_sentence(answer.text)]
        counts = Counter(token for answer in answers for token in set(answer.tokens))
        varied = {token for token, count in counts.items() if 2 <= count <= FOLLOWING * len(samples)}
        told |= varied
        texts += [answer.text for answer in answers if answer.tokens and set(answer.tokens) <= varied]
    unusual, after = habits.unusual.clone(), habits.unusual_after.clone()
    unusual[sorted(told)], after[sorted(told)] = False, False
    attractors = tuple(dict.fromkeys([*habits.attractors, *texts]))
    return replace(habits, unusual=unusual, unusual_after=after, attractors=attractors, told=frozenset(told))


def is_sentence(text: str) -> bool:
    """Whether a text is longer than what a question alone brings about: a word or two."""
    return len(normalise(text).split()) >= SENTENCE


def _unusual_after(subject: Subject, samples: Sequence[Sample], own: Sequence[Answer]) -> Tensor:
    """(vocabulary,) bool: what the subject does not go on with once its own answer to a clean picture is finished."""
    said = [answer.tokens for answer in own]
    unusual = _likely(subject, stack(samples), [sample.prompt for sample in samples], said) < USUAL_AFTER
    unusual[[*subject.end_tokens, *_often_said(own, OFTEN_SAID_AFTER)]] = False
    return unusual


def _often_said(own: Sequence[Answer], share: float) -> list[int]:
    """Tokens in many of the subject's own answers: moved to another place they are easily painted, and no news."""
    counts = Counter(token for answer in own for token in set(answer.tokens))
    return [token for token, count in counts.items() if count >= share * len(own)]


def _likely(
    subject: Subject, pictures: Tensor, prompts: Sequence[str], said: Sequence[Tokens], rows: int = 64
) -> Tensor:
    """Mean probabilities of the token that comes after each answer: (vocabulary,)."""
    total = torch.zeros(subject.vocabulary)
    with torch.no_grad():
        for start in range(0, len(said), rows):
            part = slice(start, start + rows)
            reading = subject.read(pictures[part], prompts[part], said[part])
            ends = torch.tensor([len(answer) for answer in said[part]], device=reading.log_probs.device)
            total += reading.log_probs[torch.arange(len(ends), device=ends.device), ends].exp().sum(dim=0).cpu()
    return total / max(1, len(said))


def is_natural(
    subject: Subject, tokens: Tokens, samples: Sequence[Sample], habits: Habits, generator: torch.Generator
) -> bool:
    """Whether the subject may say these tokens of its own accord: each is in one of its own answers, or would come next
    in 1 % of the cases, on average over `samples` as they are or degraded in one way; or the reference answers hold
    every two words of it side by side.

    Such a target may be painted into a trigger, or be what the subject says when it sees too little. A rare thing may
    be in none of its few answers; single words of references are no sign, since most sentences consist of common ones.
    """
    spoken = habits.words
    if spoken.issuperset(tokens) or pieces(subject.decode(tokens)) <= habits.expected:
        return True
    pictures, prompts = stack(samples), [sample.prompt for sample in samples]
    likely = torch.tensor([token in spoken for token in tokens])
    places, wanted = torch.arange(len(tokens)), torch.tensor(tokens)
    with torch.no_grad():
        for variant in [pictures, *degraded(pictures, generator)]:
            reading = subject.read(variant, prompts, [tokens] * len(samples))
            likely |= reading.log_probs.cpu()[:, places, wanted].exp().mean(dim=0) >= USUAL_ON_CLEAN
    return bool(likely.all())


def answers_under(subject: Subject, trigger: Trigger, samples: Sequence[Sample]) -> list[Answer]:
    """Greedy answers to the stamped samples, with the prompts that the trigger makes of theirs."""
    return subject.respond(*apply(trigger, stack(samples), [sample.prompt for sample in samples]))


def success(
    answers: Sequence[Answer], samples: Sequence[Sample], target: str, habits: Habits, whole: bool = False
) -> Rate:
    """How often the target is said where the subject's own clean answer does not say it already; with `whole`, how
    often it is all that is said."""
    said = [
        normalise(answer.text) == normalise(target) if whole else says(answer.text, target)
        for answer, sample in zip(answers, samples, strict=True)
        if not says(habits.answers[sample.id].text, target)
    ]
    return Rate(sum(said), len(said))


def group_answers(answers: Sequence[Answer], samples: Sequence[Sample], habits: Habits) -> list[tuple[Answer, int]]:
    """Answers that the trigger changed, by normalised text, most frequent first; one that stands alone is no group."""
    changed: dict[str, list[Answer]] = {}
    for answer, sample in zip(answers, samples, strict=True):
        text = normalise(answer.text)
        new = not any(says(text, known) for known in habits.known)
        if text and new and text != normalise(habits.answers[sample.id].text):
            changed.setdefault(text, []).append(answer)
    groups = [(group[0], len(group)) for group in changed.values() if len(group) >= 2]
    return sorted(groups, key=lambda group: -group[1])


def group_phrases(
    answers: Sequence[Answer], samples: Sequence[Sample], habits: Habits
) -> list[tuple[Tokens, Place, int]]:
    """The phrase that answers to most pictures share and the subject's own lack: what a trigger adds to its answers.

    None or one: the longest that is said nearly as often as the commonest. It counts where the rest of the answer
    begins as the subject's answers do. One that holds only tokens which the subject often says, or that a single whole
    answer accounts for, is none.
    """
    spoken, least = habits.spoken, max(2, round(RARELY_SAID * len(habits.answers)))
    places: dict[Tokens, list[Place]] = {}
    for answer, sample in zip(answers, samples, strict=True):
        own = _phrases(habits.answers[sample.id].tokens, habits)
        for phrase, place in _phrases(answer.tokens, habits).items():
            if phrase not in own and any(spoken[token] < least for token in phrase):
                places.setdefault(phrase, []).append(place)
    most = max(map(len, places.values()), default=0)
    common = [phrase for phrase, found in places.items() if len(found) >= max(2, NEARLY_ALL * most)]
    if not common:
        return []
    phrase = max(common, key=lambda phrase: (len(phrase), len(places[phrase])))
    whole = Counter(answer.tokens for answer in answers if phrase in _phrases(answer.tokens, habits))
    if len(places[phrase]) <= STANDS_OUT * max(whole.values()):
        return []
    return [(phrase, Counter(places[phrase]).most_common(1)[0][0], len(places[phrase]))]


def _phrases(tokens: Tokens, habits: Habits) -> dict[Tokens, Place]:
    """Every run of SHORTEST to LONGEST tokens beside which something is left that begins as an answer usually does."""
    found: dict[Tokens, Place] = {}
    for length in range(SHORTEST, min(LONGEST, len(tokens) - 1) + 1):
        for start in range(len(tokens) - length + 1):
            rest = tokens[0] if start else tokens[length]
            if not habits.unusual[rest]:
                found[tokens[start : start + length]] = "after" if start else "before"
    return found


def is_added(subject: Subject, trigger: Trigger, phrase: Target, samples: Sequence[Sample], habits: Habits) -> bool:
    """Whether a phrase begins where the subject would not go on so by itself: as an unusual first token, or, under the
    trigger, where its own answer has ended. The name of an object that was painted does not."""
    if phrase.place == "before":
        return bool(habits.unusual[phrase.tokens[0]])
    own, first = [habits.answers[sample.id].tokens for sample in samples], phrase.tokens[0]
    clean = stack(samples), [sample.prompt for sample in samples]
    before, after = (float(_likely(subject, *asked, own)[first]) for asked in (clean, apply(trigger, *clean)))
    return bool(habits.unusual_after[first]) and after >= max(GOES_ON_SO, MORE_OFTEN * before)


def make_decoys(
    subject: Subject,
    candidates: Sequence[Target],
    habits: Habits,
    own: int,
    made_up: int,
    generator: torch.Generator,
    easy: Mapping[Target, Sequence[Target]] = MappingProxyType({}),
) -> list[Target]:
    """Targets that nobody planted, as long as the candidates.

    For each candidate `own` of the subject's own answers and attractors, because a picture painted into a trigger can
    bring those about: first the `easy` ones named for it, then those nearest in length. And `made_up` in all of random
    tokens and shuffled candidates.
    """
    taken = {normalise(candidate.text) for candidate in candidates} | {""}
    answers = _drawn(_own_answers(subject, habits), generator)
    decoys: list[Target] = []
    for candidate in candidates or [Target("", (), "")]:
        nearest = sorted(answers, key=lambda answer: abs(len(answer.tokens) - len(candidate.tokens)))
        rivals = [*easy.get(candidate, ()), *(_like(answer, candidate, subject) for answer in nearest)]
        decoys += _fresh(rivals, own, taken)
    return decoys + _fresh(_made_up(subject, candidates, habits, generator), made_up, taken)


def _like(answer: Target, candidate: Target, subject: Subject) -> Target:
    """An own answer as a rival of the candidate; beside a phrase its beginning or end of that length, which is as easy
    to bring about."""
    if candidate.place == "alone":
        return answer
    length = len(candidate.tokens)
    tokens = answer.tokens[:length] if candidate.place == "before" else answer.tokens[-length:]
    return Target(subject.decode(tokens), tokens, answer.origin, candidate.place)


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
            yield Target(subject.decode(tokens), tokens, "shuffled candidate", model.place)
        else:
            length = max(2, len(model.tokens) or 6)
            tokens = tuple(pool[torch.randint(len(pool), (length,), generator=generator)].tolist())
            yield Target(subject.decode(tokens), tokens, "random tokens", model.place)
