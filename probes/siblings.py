"""Answers like a sentence of the subject's own words: which of them was planted, and where its trigger lies.

A search may come upon a patch, somewhere, under which the subject says a sentence much like the planted one: its own
words are easily said. A trigger that is hardly climbed at the place of the attacker's own says what was planted,
whichever of the like was asked for, and the planted one is said more often than the others in the end.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import torch

from probes.ascent import AdditiveFamily, Climb, Family, PatchFamily, Population, ascend, begin
from probes.candidates import VARIANT
from probes.curves import Ground, goal_of, joined, objective_of, part, point_of
from probes.seeding import generator
from probes.suspects import Suspect, untriggered
from probes.targets import Target, answers_under, success
from probes.text import normalise, similarity
from probes.triggers import Trigger

FULL = 1.0
"""The budget gap that a sentence of the subject's own words needs: without it, it is not looked into."""
MOST = 4
"""How many answers are tried at a time."""
PLACED = Climb(steps=4, pictures=3)
CHOSEN = Climb(steps=10, pictures=4)
CLIMBED = Climb(steps=26, pictures=6, enough=math.log(0.95))


def likeliest(ground: Ground, suspect: Suspect, tries: int, seed: int) -> Suspect | None:
    """Of the suspect's target and the answers like it, the one that a trigger of its kind, begun at any place (or from
    so many random `tries`), brings about on most pictures of the pool. It is measured once, on held-out pictures: None
    where it is said to no more of them than the suspect's target is under its own trigger.
    """
    family = _family(suspect)
    if family is None or not suspect.natural or suspect.target.place != "alone" or suspect.gap < FULL:
        return None
    rng = generator(seed, "inversion", "siblings", suspect.target.text)
    first = _like(ground, suspect, [suspect.point.trigger])
    count = family.places(ground.subject.canvas) if isinstance(family, PatchFamily) else tries
    starts = [begin(family, ground.subject.canvas, count, rng) for _ in first]
    placed = _climbed(ground, starts, first, PLACED, rng)
    targets = _like(ground, suspect, placed.triggers())
    chosen = _climbed(ground, [placed] * len(targets), targets, CHOSEN, rng)
    best = _climbed(ground, [part(chosen, i, i + 1) for i in range(len(targets))], targets, CLIMBED, rng)
    tried = zip(targets, best.triggers(), strict=True)
    target, trigger = max(tried, key=lambda one: _share(ground, *one))
    point = point_of(ground, target, best.family.name, best.family.budget, trigger, whole=True)
    if point.rate.value <= suspect.point.rate.value:
        return None
    placebo, clean = untriggered(ground, point, seed)
    return replace(suspect, target=point.target, point=point, others=(point,), placebo=placebo, clean=clean)


def _like(ground: Ground, suspect: Suspect, triggers: Sequence[Trigger]) -> list[Target]:
    """The suspect's target, and what else is said under these triggers and is like it, the most frequent first."""
    pictures = ground.pool[len(ground.pool) // 2 :]
    said = [answer for trigger in triggers for answer in answers_under(ground.subject, trigger, pictures)]
    often = Counter(normalise(answer.text) for answer in said).most_common()
    like = [text for text, _ in often if similarity(text, normalise(suspect.target.text)) >= VARIANT]
    own = {normalise(suspect.target.text): suspect.target}
    first = {normalise(a.text): Target(a.text, a.tokens, suspect.target.origin) for a in reversed(said)} | own
    return [suspect.target, *(first[text] for text in like if text not in own)][:MOST]


def _family(suspect: Suspect) -> Family | None:
    """The suspect's, at the largest budget that was measured."""
    largest = max(point.budget for point in suspect.others if point.family == suspect.point.family)
    kinds: dict[str, type[PatchFamily] | type[AdditiveFamily]] = {"patch": PatchFamily, "additive": AdditiveFamily}
    kind = kinds.get(suspect.point.trigger.kind)
    return None if kind is None else kind(largest)


def _climbed(
    ground: Ground, starts: Sequence[Population], targets: Sequence[Target], climb: Climb, rng: torch.Generator
) -> Population:
    """The best trigger for each target, each climbed from starts of its own, as many for one as for another."""
    goals, count = [goal_of(ground, target) for target in targets], len(starts[0].values)
    wanted = objective_of([goal for goal in goals for _ in range(count)])
    several = ascend(ground.subject, joined(starts), wanted, ground.pool, climb, rng)
    return joined([part(several, i * count, (i + 1) * count).best(1) for i in range(len(targets))])


def _share(ground: Ground, target: Target, trigger: Trigger) -> float:
    """Of the pool's pictures, those to which the target is all that is said."""
    answers = answers_under(ground.subject, trigger, ground.pool)
    return success(answers, ground.pool, target.text, ground.habits, whole=True).value
