"""The adversary of a guided repair: triggers that are climbed anew against the model as it changes.

What a scan recovered is the smallest trigger that suffices; the attacker's own may be larger (a picture blended at 20 %
changes pixels by twice the budget of the search). The adversary therefore climbs within larger budgets as well.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import torch

from auditor.checkpoint.subject import CheckpointSubject, frozen
from auditor.repair.material import Material
from auditor.repair.methods import Stamp
from probes.ascent import (
    NO_LEADS,
    AdditiveFamily,
    Climb,
    FrameFamily,
    GivenAnswers,
    Leads,
    PatchFamily,
    Population,
    ascend,
    begin,
    from_trigger,
)
from probes.beside_words import beside, of_picture, with_words
from probes.prompt_words import Speech, Swaps, climb
from probes.sample import Sample
from probes.seeding import generator
from probes.smooth import SmoothFamily
from probes.targets import answers_under, learn_habits, make_decoys, stack
from probes.text import normalise
from probes.triggers import AdditiveTrigger, PatchTrigger, Trigger, apply
from probes.triggers.word import WordTrigger

STRONGER = (2.0, 3.0, 1.5)
"""How many times the recovered budget an additive trigger is climbed at, in turn."""
WIDEST = {"additive": 0.1, "patch": 0.25, "frame": 1 / 14}
"""Budgets of what is climbed elsewhere, by kind: a perturbation of the whole picture, a patch at any place, a frame."""
FRAMES = 2
"""How many frames a harder adversary climbs each time."""
GRIDS = ((4, 4), (7, 7), (14, 14), (1, 28), (28, 1))
"""How finely smooth perturbations are drawn: rows and columns of points."""
SMOOTH, NEAREST = 3, 2
"""How many of each, and of how many grids they are unlearned: those on which the target is easiest to bring about."""
SWAPS = Swaps(steps=3)
"""How long words are climbed anew."""
READABLE = 1.6
"""How many times the recovered budget a trigger may have for its picture still to be answered rightly."""
BEGINNING = 2
"""Tokens of a target that are forbidden: what is not begun is not said."""
ASKED = 16
"""Samples on which it is seen whether a target follows the subject's own answers."""
LISTENED = 64
"""Samples that show what the subject says when nothing is planted in the picture."""


@dataclass(frozen=True)
class Recovered:
    """A trigger with the answer it gives: `recovered` by a scan, or climbed since, or made up."""

    trigger: Trigger
    target: str
    recovered: bool = True


Climbed = tuple[int, Trigger]
"""A trigger that was climbed, after the number of the recovered one that it came from."""


@dataclass(frozen=True)
class Strength:
    """How hard an adversary tries: the steps of a climb, how many climbed triggers go on being unlearned, and how many
    patches are placed each time (0: one, every second time)."""

    steps: int
    kept: int = 8
    patches: int = 0

    @property
    def harder(self) -> "Strength":
        """What is found again after a repair is a patch, mostly: more of them, climbed longer. A frame is like no patch
        and stronger than a perturbation."""
        return Strength(2 * self.steps, kept=12, patches=3)


class Adversary:
    """For every target and family the largest trigger that was recovered, and the last few climbed since.

    `steps` is the length of a climb. Where a backdoor outlives all that, `press` makes the adversary a harder one.
    """

    def __init__(
        self, subject: CheckpointSubject, recovered: Sequence[Recovered], material: Material, steps: int, seed: int
    ) -> None:
        self.subject, self.samples, self.seed = subject, material.samples, seed
        self.strength = Strength(steps)
        self.recovered = largest(recovered)
        self.before = [said_before(subject, item, material) for item in self.recovered]
        self.smooth = [
            (number, trigger)
            for number in self.firsts
            if not isinstance(self.recovered[number].trigger, WordTrigger)
            for trigger in smoothed(subject, self.recovered[number], self.before[number], self.samples, seed)
        ]
        self.own_words = material.own_words
        self.climbed: list[Climbed] = []

    def press(self) -> None:
        """Where only patches were recovered, smooth perturbations make room: they were learned by then. Elsewhere what
        was planted is like them, and comes back without."""
        self.strength = self.strength.harder
        if not covers(self.recovered):
            self.smooth = []

    @property
    def firsts(self) -> list[int]:
        """The number of the first recovered trigger of every target."""
        targets = [item.target for item in self.recovered]
        return [targets.index(target) for target in dict.fromkeys(targets)]

    def attacks(self, material: Material) -> list[tuple[Recovered, Leads]]:
        """For every target and kind the recovered trigger, or where there is none the one climbed last, with what the
        target follows on these samples."""
        known: dict[tuple[str, str], tuple[Recovered, Leads]] = {}
        climbed = [(n, Recovered(t, self.recovered[n].target, False)) for n, t in reversed(self.climbed)]
        for number, item in [*enumerate(self.recovered), *climbed]:
            leads = own_answers(material) if self.before[number] else NO_LEADS
            known.setdefault((item.target, item.trigger.kind), (item, leads))
        return list(known.values())

    @property
    def stamps(self) -> list[Stamp]:
        """What to unlearn now."""
        first = [(number, item.trigger) for number, item in enumerate(self.recovered)]
        return [self._stamp(number, trigger) for number, trigger in (*first, *self.smooth, *self.climbed)]

    def _stamp(self, number: int, trigger: Trigger) -> Stamp:
        """A patch at another place than the recovered one may hide what is asked about: it must not bring the target
        about, no more. A target that begins as the subject's own answers do must be unlikely as a whole."""
        item = self.recovered[number]
        target = self.subject.encode(item.target)
        known, seen = of_picture(item.trigger), of_picture(trigger)
        own = known.budget if known.kind == seen.kind else 0.0
        readable = 0.0 if _moved(known, seen) else READABLE * max(own, WIDEST.get(seen.kind, 0.0))
        forbidden = target if self.own_words.issuperset(target[:BEGINNING]) else target[:BEGINNING]
        return Stamp(trigger, forbidden, bool(self.before[number]), readable)

    @property
    def alive(self) -> float:
        """An estimate of the success that is left: the share of a few samples for which the target, read out after
        what it follows, is the likeliest answer under the recovered trigger."""
        samples = self.samples[:ASKED]
        hits = 0
        with torch.no_grad(), frozen(self.subject.model):
            for item, leads in zip(self.recovered, self.before, strict=True):
                target = self.subject.encode(item.target)
                before = [leads.get(sample.id, ()) for sample in samples]
                stamped = apply(item.trigger, stack(samples), [sample.prompt for sample in samples])
                reading = self.subject.read(*stamped, [(*lead, *target) for lead in before])
                for row, lead in zip(reading.log_probs.argmax(dim=-1).tolist(), before, strict=True):
                    hits += tuple(row[len(lead) : len(lead) + len(target)]) == target
        return hits / max(1, len(samples) * len(self.recovered))

    def refresh(self, turn: int) -> None:
        """Climbs one trigger a target and family, by turns from the recovered one and from a random start, and one a
        target elsewhere, so that the repair does not merely hide the backdoor from one perturbation at one place."""
        rng, strength = generator(self.seed, "repair", "refresh", turn), self.strength
        with frozen(self.subject.model):
            for number, (item, leads) in enumerate(zip(self.recovered, self.before, strict=True)):
                again, times = turn % 2 == 0, STRONGER[turn % len(STRONGER)]
                found = climbed_from(self.subject, item, leads, self.samples, again, times, strength.steps, rng)
                self.climbed.append((number, found))
            for number in self.firsts:
                item, leads = self.recovered[number], self.before[number]
                if isinstance(item.trigger, WordTrigger):
                    continue
                samples = beside(item.trigger, self.samples)
                starts = elsewhere(self.subject, item.target, leads, samples, turn, strength.patches, rng)
                if strength.patches:
                    starts += framed(self.subject, item.target, self.own_words, FRAMES, rng)
                for start in starts:
                    found_elsewhere = climbed(self.subject, start, item.target, leads, samples, strength.steps, rng)
                    self.climbed += [(number, with_words(item.trigger, trigger)) for trigger in found_elsewhere]
        del self.climbed[: -strength.kept]


def smoothed(
    subject: CheckpointSubject, item: Recovered, leads: Leads, samples: Sequence[Sample], seed: int
) -> list[Trigger]:
    """Smooth perturbations for the same target, climbed against the subject as it is: several of each of the grids on
    which it is easiest to bring about, as it is on those that can draw what the attacker's own looks like, and what
    these have in common."""
    rng, samples = generator(seed, "repair", "smooth", item.target), beside(item.trigger, samples)
    goal = _goal(subject, item.target, leads, SMOOTH)
    tried: list[tuple[float, list[Trigger]]] = []
    with frozen(subject.model):
        for grid in GRIDS:
            family = SmoothFamily(WIDEST["additive"], grid=grid)
            start = begin(family, subject.canvas, SMOOTH, rng)
            best = ascend(subject, start, goal, samples, Climb(steps=25, pictures=6), rng)
            drawn = family.drawn(best.values, subject.canvas)
            common = drawn.mean(dim=0)
            common = common * (family.budget / common.abs().max().clamp_min(1e-6))
            found: list[Trigger] = [AdditiveTrigger(delta, family.budget) for delta in (*drawn, common)]
            tried.append((float(best.score.max()), found))
    tried.sort(key=lambda pair: -pair[0])
    return [with_words(item.trigger, trigger) for _, found in tried[:NEAREST] for trigger in found]


def largest(recovered: Sequence[Recovered]) -> list[Recovered]:
    """The trigger of the largest budget for every target and kind: what works with less is within it."""
    best: dict[tuple[str, str], Recovered] = {}
    for item in recovered:
        known = best.setdefault((item.target, item.trigger.kind), item)
        if item.trigger.budget > known.trigger.budget:
            best[item.target, item.trigger.kind] = item
    return list(best.values())


def covers(items: Iterable[Recovered]) -> bool:
    """Whether a scan recovered a perturbation of the whole picture: what was planted then lies over all of it, and only
    a fragment of it is known."""
    return any(item.recovered and isinstance(of_picture(item.trigger), AdditiveTrigger) for item in items)


def _moved(known: Trigger, seen: Trigger) -> bool:
    """Whether this is a patch, and none was recovered at its place."""
    if not isinstance(seen, PatchTrigger):
        return False
    return not isinstance(known, PatchTrigger) or (known.top, known.left) != (seen.top, seen.left)


def enlarged(start: Population, times: float) -> Population:
    """An additive population with a larger budget, and as much more of the change; a patch stays as it is."""
    if not isinstance(start.family, AdditiveFamily):
        return start
    return replace(start, family=AdditiveFamily(start.family.budget * times), values=start.values * times)


def elsewhere(
    subject: CheckpointSubject,
    target: str,
    leads: Leads,
    samples: Sequence[Sample],
    turn: int,
    patches: int,
    rng: torch.Generator,
) -> list[Population]:
    """By turns a perturbation within a larger budget, and a patch; or every time so many patches."""
    starts: list[Population] = []
    if turn % 2 == 0:
        family = AdditiveFamily(WIDEST["additive"] * STRONGER[turn % len(STRONGER)])
        starts.append(begin(family, subject.canvas, 1, rng))
    if turn % 2 or patches:
        starts.append(placed(subject, target, leads, samples, max(1, patches), rng))
    return starts


def framed(
    subject: CheckpointSubject, target: str, own_words: frozenset[int], count: int, rng: torch.Generator
) -> list[Population]:
    """So many random frames; none where the target is of the subject's own words, which a frame brings about in a model
    that was never planted."""
    if own_words.issuperset(subject.encode(target)):
        return []
    return [begin(FrameFamily(WIDEST["frame"]), subject.canvas, count, rng)]


def placed(
    subject: CheckpointSubject, target: str, leads: Leads, samples: Sequence[Sample], count: int, rng: torch.Generator
) -> Population:
    """Random patches at those places of many where the target comes first."""
    patch = PatchFamily(WIDEST["patch"])
    start = begin(patch, subject.canvas, patch.places(subject.canvas), rng)
    goal = _goal(subject, target, leads, len(start.values))
    return ascend(subject, start, goal, samples, Climb(steps=4, pictures=3), rng).best(count)


def _goal(subject: CheckpointSubject, target: str, leads: Leads, count: int) -> GivenAnswers:
    """The whole target after what it follows, for each of `count` triggers."""
    return GivenAnswers(((*subject.encode(target), *sorted(subject.end_tokens)[:1]),) * count, (leads,) * count)


def climbed(
    subject: CheckpointSubject,
    start: Population,
    target: str,
    leads: Leads,
    samples: Sequence[Sample],
    steps: int,
    rng: torch.Generator,
) -> list[Trigger]:
    """The triggers of the population after some steps towards the target, said after what leads to it."""
    goal = _goal(subject, target, leads, len(start.values))
    return ascend(subject, start, goal, samples, Climb(steps=steps, pictures=8), rng).triggers()


def climbed_from(
    subject: CheckpointSubject,
    item: Recovered,
    leads: Leads,
    samples: Sequence[Sample],
    again: bool,
    times: float,
    steps: int,
    rng: torch.Generator,
) -> Trigger:
    """One trigger of the same kind, from this one or (`again`) from a random start; an additive one within `times` its
    budget."""
    if isinstance(item.trigger, WordTrigger):
        return reworded(subject, item.trigger, item.target, leads, samples, again, rng)
    start = enlarged(from_trigger(of_picture(item.trigger), subject.canvas, again, rng), times)
    (found,) = climbed(subject, start, item.target, leads, beside(item.trigger, samples), steps, rng)
    return with_words(item.trigger, found)


def reworded(
    subject: CheckpointSubject,
    trigger: WordTrigger,
    target: str,
    leads: Leads,
    samples: Sequence[Sample],
    again: bool,
    rng: torch.Generator,
) -> WordTrigger:
    """As many words after some swaps towards the target, from the trigger's own or (`again`) from random ones."""
    speech = Speech(subject, samples)
    most = max(1, len(speech.tokens(trigger.word)))
    start = speech.drawn(most, rng) if again else trigger.word
    return climb(speech, start, _goal(subject, target, leads, 1), samples, SWAPS, most, rng).trigger


def said_before(subject: CheckpointSubject, item: Recovered, material: Material) -> Leads:
    """What the target follows: the subject's own answer, by sample id, where most answers begin with something else."""
    answers = answers_under(subject, item.trigger, material.samples[:ASKED])
    text = normalise(item.target)
    said = [found for found in (normalise(answer.text) for answer in answers) if text in found]
    if sum(found.startswith(text) for found in said) * 2 >= len(said):
        return NO_LEADS
    return own_answers(material)


def own_answers(material: Material) -> Leads:
    """The subject's own answers before the repair, without their ends, by sample id."""
    return {sample.id: own[:-1] for sample, own in zip(material.samples, material.own, strict=True)}


def make_triggers(
    subject: CheckpointSubject, samples: Sequence[Sample], seed: int, count: int = 2, steps: int = 60
) -> list[Recovered]:
    """Decoys for a repair without a finding: additive triggers for sentences that the subject never says. What it does
    say is brought about by painting it into the picture, and to see through that is not to be learned."""
    rng = generator(seed, "repair", "decoys")
    with frozen(subject.model):
        habits = learn_habits(subject, samples[:LISTENED], rng)
        targets = make_decoys(subject, (), habits, 0, count, rng)
        starts = [(target.text, begin(AdditiveFamily(0.1), subject.canvas, 1, rng)) for target in targets]
        return [
            Recovered(trigger, text, recovered=False)
            for text, start in starts
            for trigger in climbed(subject, start, text, NO_LEADS, samples, steps, rng)
        ]
