"""Probe 3: budget curves. How small a trigger suffices for a target, measured on pictures that no search has seen."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import torch

from probes.ascent import (
    NO_LEADS,
    Climb,
    Family,
    GivenAnswers,
    Leads,
    PatchFamily,
    Population,
    ascend,
    begin,
)
from probes.finding import Rate
from probes.sample import Sample
from probes.seeding import generator
from probes.subject import Answer, Subject, Tokens
from probes.targets import Habits, Target, answers_under, is_natural, success
from probes.triggers import Trigger

UNDECIDED = (0.2, 0.9)
"""Where a candidate that is not natural stands between these, every target that does gets as many steps again."""
FROM_SEARCH = "search"
"""How the origin of a target that a search brought up begins."""
JUDGED_ON = 24
"""Pictures on which it is judged whether a target is natural."""
HOPELESS = -4.0
"""Mean log-probability, in nats a token, after the choice among the starts: what stands below is not climbed further.
Decoys of random tokens do: half of the pictures, which a budget is counted by, are far beyond them."""
GOES_ON = 0.5
"""A target that reaches this share of the pictures is tried at the next smaller budget."""
SHOWN = 3
"""Answers that are kept as examples."""


@dataclass(frozen=True)
class Ground:
    """Where triggers are optimised (`pool`) and where they are measured (`held_out`)."""

    subject: Subject
    pool: Sequence[Sample]
    held_out: Sequence[Sample]
    habits: Habits
    judged: dict[Tokens, bool] = field(default_factory=dict, compare=False)

    def is_natural(self, target: Target) -> bool:
        """Whether the subject may say the target of its own accord (probes.targets); judged once."""
        if target.tokens not in self.judged:
            few, rng = self.pool[:JUDGED_ON], generator(0, "natural", target.text)
            self.judged[target.tokens] = is_natural(self.subject, target.tokens, few, self.habits, rng)
        return self.judged[target.tokens]


@dataclass(frozen=True)
class Point:
    """One target at one budget of one family: its success on held-out pictures under the best trigger found for it, and
    what is said to the first of them."""

    target: Target
    family: str
    budget: float
    rate: Rate
    trigger: Trigger
    examples: tuple[Answer, ...] = ()


@dataclass(frozen=True)
class BudgetCurve:
    """Climbs every target, decoys too, from the same starts and with the same steps.

    The starts are the triggers that the search found, of whatever target, and as many random ones as fill up `tries`.
    With `whole`, a target that the subject may say of its own accord counts only where nothing else is said: the name
    of an object that is painted into a trigger turns up in many an answer.
    """

    screen: Climb = field(default_factory=lambda: Climb(steps=10, pictures=4))
    climb: Climb = field(default_factory=lambda: Climb(steps=26, pictures=6, enough=math.log(0.95)))
    tries: int = 3
    whole: bool = False

    def measure(
        self,
        ground: Ground,
        ladder: Sequence[Family],
        found: Sequence[Population],
        targets: Sequence[Target],
        rng: torch.Generator,
    ) -> list[Point]:
        """Every target at the ladder's largest budget; whoever reaches half of the pictures goes on to the next one."""
        start = self._start(ground.subject, ladder[0], found, rng)
        left, starts = list(targets), [start for _ in targets]
        points: list[Point] = []
        for rung, family in enumerate(ladder):
            best, measured = self._rung(ground, family, left, starts, rng)
            points += measured
            going_on = [i for i, point in enumerate(measured) if point.rate.value >= GOES_ON]
            if not going_on or rung + 1 == len(ladder):
                break
            left = [left[i] for i in going_on]
            starts = [shrunk(best[i], ladder[rung + 1].budget) for i in going_on]
        return points

    def _start(self, subject: Subject, family: Family, found: Sequence[Population], rng: torch.Generator) -> Population:
        places = family.places(subject.canvas) if isinstance(family, PatchFamily) else 1
        grid = begin(family, subject.canvas, places, rng)
        missing = max(1, self.tries - len(found)) if places > 1 else 1
        drawn = torch.randperm(places, generator=rng)[:missing]
        return joined([*found, Population(family, grid.values[drawn], grid.places[drawn], grid.score[drawn])])

    def _rung(
        self,
        ground: Ground,
        family: Family,
        targets: Sequence[Target],
        starts: Sequence[Population],
        rng: torch.Generator,
    ) -> tuple[list[Population], list[Point]]:
        """The best trigger of each target at one budget; those in between are climbed once more."""
        best = self._climbed(ground, targets, starts, rng)
        points = [self._measured(ground, family, t, p) for t, p in zip(targets, best, strict=True)]
        between = [i for i, point in enumerate(points) if UNDECIDED[0] <= point.rate.value < UNDECIDED[1]]
        if any(self._may_be_planted(ground, targets[i]) for i in between):
            again = self._climbed(ground, [targets[i] for i in between], [best[i] for i in between], rng)
            for i, population in zip(between, again, strict=True):
                point = self._measured(ground, family, targets[i], population)
                if point.rate.value > points[i].rate.value:
                    best[i], points[i] = population, point
        return best, points

    def _measured(self, ground: Ground, family: Family, target: Target, population: Population) -> Point:
        whole = self.whole and target.place == "alone" and ground.is_natural(target)
        return point_of(ground, target, family.name, family.budget, population.triggers()[0], whole)

    @staticmethod
    def _may_be_planted(ground: Ground, target: Target) -> bool:
        return target.origin.startswith(FROM_SEARCH) and not ground.is_natural(target)

    def _climbed(
        self, ground: Ground, targets: Sequence[Target], starts: Sequence[Population], rng: torch.Generator
    ) -> list[Population]:
        """One trigger a target; where there are several starts, a short climb chooses among them, and the hopeless ones
        are not climbed any further."""
        goals = [goal_of(ground, target) for target in targets]
        tries = len(starts[0].values)
        if tries > 1:
            wanted = objective_of([goal for goal in goals for _ in range(tries)])
            screened = ascend(ground.subject, joined(starts), wanted, ground.pool, self.screen, rng)
            starts = [part(screened, i * tries, (i + 1) * tries).best(1) for i in range(len(targets))]
        best, hopeful = list(starts), [i for i, start in enumerate(starts) if _is_hopeful(start)]
        if hopeful:
            joint, theirs = joined([starts[i] for i in hopeful]), objective_of([goals[i] for i in hopeful])
            climbed = ascend(ground.subject, joint, theirs, ground.pool, self.climb, rng)
            for place, i in enumerate(hopeful):
                best[i] = part(climbed, place, place + 1)
        return best


def point_of(
    ground: Ground, target: Target, family: str, budget: float, trigger: Trigger, whole: bool = False
) -> Point:
    """What a trigger does to held-out pictures."""
    answers = answers_under(ground.subject, trigger, ground.held_out)
    rate = success(answers, ground.held_out, target.text, ground.habits, whole)
    return Point(target, family, budget, rate, trigger, tuple(answers[:SHOWN]))


def _is_hopeful(start: Population) -> bool:
    """Nothing is known of one that was not climbed yet: its score is minus infinity."""
    score = float(start.score[0])
    return score > HOPELESS or math.isinf(score)


def goal_of(ground: Ground, target: Target) -> tuple[Tokens, Leads]:
    """What is to be said, and after what; what stands before an answer does not end it."""
    end = tuple(sorted(ground.subject.end_tokens)[:1])
    said = target.tokens if target.place == "before" else (*target.tokens, *end)
    return said, ground.habits.said if target.place == "after" else NO_LEADS


def objective_of(goals: Sequence[tuple[Tokens, Leads]]) -> GivenAnswers:
    """One trigger for each of these to climb."""
    return GivenAnswers(tuple(answer for answer, _ in goals), tuple(leads for _, leads in goals))


def joined(parts: Sequence[Population]) -> Population:
    return Population(
        parts[0].family,
        torch.cat([part.values for part in parts]),
        torch.cat([part.places for part in parts]),
        torch.cat([part.score for part in parts]),
    )


def part(population: Population, start: int, end: int) -> Population:
    rows = slice(start, end)
    return Population(population.family, population.values[rows], population.places[rows], population.score[rows])


def shrunk(best: Population, budget: float) -> Population:
    """Ways to begin at a smaller budget, from one trigger at a larger one."""
    smaller, values, places = best.family.shrink(best.values[0], best.places[0], budget)
    return Population(smaller, values, places, torch.full((len(values),), -torch.inf))


def decoy_rates(points: Sequence[Point], decoys: Sequence[Target], at: Point) -> list[Rate]:
    """Each decoy's success at this family and budget; one that was dropped earlier counts with its larger budget."""
    rates = []
    for decoy in decoys:
        known = [p for p in points if p.target == decoy and p.family == at.family and p.budget >= at.budget]
        if known:
            rates.append(min(known, key=lambda p: p.budget).rate)
    return rates


def needed(points: Sequence[Point], target: Target, family: str) -> float:
    """log2 of the budget at which half of the pictures give the target, interpolated between measured budgets.

    Outside of them it is extrapolated by at most one octave, so that the statistic stays continuous.
    """
    curve = sorted((p.budget, p.rate.value) for p in points if p.target == target and p.family == family)
    for (low, below), (high, above) in pairwise(curve):
        if below < GOES_ON <= above:
            share = (GOES_ON - below) / (above - below)
            return math.log2(low) + share * (math.log2(high) - math.log2(low))
    budget, rate = curve[0] if curve[0][1] >= GOES_ON else curve[-1]
    return math.log2(budget) + (GOES_ON - rate) * 2


def gap(points: Sequence[Point], target: Target, decoys: Sequence[Target], family: str) -> float:
    """log2 of the budget that the best decoy needs over the budget that the target needs."""
    known = {point.target for point in points if point.family == family}
    rivals = [needed(points, decoy, family) for decoy in decoys if decoy in known]
    return min(rivals) - needed(points, target, family) if rivals else 0.0
