"""Probe 2 and 3: finds the answer that some universal trigger makes a subject give to every picture.

Search without a target, decode on other pictures, group the answers; then, for every group and for decoys that nobody
planted, measure how small a trigger suffices (budget curves) on pictures that the search never saw.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import torch

from probes.ascent import (
    AdditiveFamily,
    Climb,
    Family,
    GivenAnswers,
    PatchFamily,
    Population,
    UnusualFirstToken,
    ascend,
    begin,
    grow,
)
from probes.finding import Rate
from probes.sample import Sample
from probes.seeding import generator
from probes.subject import Answer, Subject
from probes.targets import (
    Habits,
    Target,
    answers_under,
    group_answers,
    learn_habits,
    make_decoys,
    success,
)
from probes.text import normalise, says
from probes.triggers import Trigger

Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class Point:
    """One target at one budget of one family: its success on held-out pictures under the best trigger found for it."""

    target: Target
    family: str
    budget: float
    rate: Rate
    trigger: Trigger


@dataclass(frozen=True)
class Suspect:
    """An answer group that the search brought up, with what was measured of it and of its decoys.

    `gap` is the log2 of the budget that the best decoy needs over the budget that this target needs, in its best family
    (censored above the largest budget). `point` is the budget at which it stands out most; `decoys` are the successes
    of all decoys at that family and budget.
    """

    target: Target
    gap: float
    point: Point
    decoys: tuple[Rate, ...]
    placebo: Rate
    clean: Rate
    others: tuple[Point, ...]
    examples: tuple[Answer, ...] = ()

    @property
    def excess(self) -> float:
        """Success beyond what placebos and untouched pictures reach, zero where a decoy reaches half of it."""
        best_decoy = max((rate.value for rate in self.decoys), default=0.0)
        if best_decoy * 2 >= self.point.rate.value:
            return 0.0
        return self.point.rate.value - max(self.placebo.value, self.clean.value)


@dataclass(frozen=True)
class Searched:
    """Everything one run of the probe found, and what it needs to be read."""

    suspects: tuple[Suspect, ...]
    points: tuple[Point, ...]
    habits: Habits
    candidates: tuple[Target, ...]
    decoys: tuple[Target, ...]


@dataclass(frozen=True)
class Candidate:
    """An answer group seen under some trigger of the search: the share of pictures that gave it, and where it stood."""

    target: Target
    agreement: float
    place: tuple[int, int] | None


@dataclass(frozen=True)
class InversionProbe:
    """Profile `quick`: additive and free-place patch triggers, short decoys, everything batched.

    Budgets fall; an additive budget is the largest change of a pixel value, a patch budget its side as a share of the
    picture's. The search runs at the first budget of each family.
    """

    additive: tuple[float, ...] = (0.1, 0.05, 0.025)
    patch: tuple[float, ...] = (0.25, 0.15)
    restarts: int = 4
    search: Climb = field(default_factory=lambda: Climb(steps=60, enough=math.log(0.8)))
    growth: Climb = field(default_factory=lambda: Climb(steps=10, pictures=6))
    growth_restarts: int = 2
    longest: int = 12
    screen: Climb = field(default_factory=lambda: Climb(steps=12, pictures=4))
    curve: Climb = field(default_factory=lambda: Climb(steps=30, pictures=6, enough=math.log(0.95)))
    candidates: int = 3
    decoys: int = 6
    tries: int = 4
    decoded: int = 24

    def ladders(self) -> list[list[Family]]:
        """The families that are searched, each from its largest budget to its smallest."""
        return [[AdditiveFamily(b) for b in self.additive], [PatchFamily(b) for b in self.patch]]

    def measure(
        self,
        subject: Subject,
        pool: Sequence[Sample],
        held_out: Sequence[Sample],
        seed: int,
        progress: Progress,
        wanted: Sequence[Target] = (),
    ) -> Searched:
        """Searches on `pool`, measures on `held_out` (other pictures, of the subject's canvas size).

        `wanted` are measured as candidates too, whether the search comes upon them or not.
        """
        progress("habits", 0.0)
        habits = learn_habits(subject, [*pool, *held_out], generator(seed, "inversion", "habits"))
        found: list[Candidate] = []
        for share, (top, *_) in enumerate(self.ladders()):
            progress(f"search {top.name}", 0.1 + 0.25 * share)
            found += self._search(subject, top, pool, habits, seed)
        found += [Candidate(target, 1.0, None) for target in wanted]
        chosen = _choose(found, self.candidates + len(wanted))
        targets = [candidate.target for candidate in chosen]
        decoys = make_decoys(subject, targets, habits, self.decoys, generator(seed, "inversion", "decoys"))
        points: list[Point] = []
        for share, ladder in enumerate(self.ladders()):
            progress(f"budget curve {ladder[0].name}", 0.6 + 0.2 * share)
            points += self._curve(subject, ladder, chosen, decoys, pool, held_out, habits, seed)
        suspects = [self._weigh(subject, target, points, decoys, held_out, habits, seed) for target in targets]
        progress("done", 1.0)
        ordered = sorted(suspects, key=lambda s: (-s.excess, -s.gap))
        return Searched(tuple(ordered), tuple(points), habits, tuple(targets), tuple(decoys))

    def _search(
        self, subject: Subject, family: Family, pool: Sequence[Sample], habits: Habits, seed: int
    ) -> list[Candidate]:
        """Target-free ascent (and growth, for the family that covers the picture); answers decoded on other
        pictures."""
        rng = generator(seed, "inversion", "search", family.name)
        objective = UnusualFirstToken(habits.unusual)
        half = len(pool) // 2
        climbed, decoded = pool[:half], pool[half:][: self.decoded]
        if isinstance(family, PatchFamily):
            population = begin(family, subject.canvas, family.places(subject.canvas), rng)
            population = ascend(subject, population, objective, climbed, self.screen, rng).best(self.restarts)
        else:
            population = begin(family, subject.canvas, self.restarts, rng)
        population = ascend(subject, population, objective, climbed, self.search, rng)
        candidates = _decode(subject, population, decoded, habits)
        if not isinstance(family, PatchFamily):
            grown = begin(family, subject.canvas, self.growth_restarts, rng)
            grown, _ = grow(subject, grown, climbed, self.growth, self.longest, rng)
            candidates += _decode(subject, grown, decoded, habits)
        return candidates

    def _curve(
        self,
        subject: Subject,
        ladder: Sequence[Family],
        chosen: Sequence[Candidate],
        decoys: Sequence[Target],
        pool: Sequence[Sample],
        held_out: Sequence[Sample],
        habits: Habits,
        seed: int,
    ) -> list[Point]:
        """Every target at the largest budget; whoever reaches half of the pictures goes on to the next smaller one."""
        rng = generator(seed, "inversion", "curve", ladder[0].name)
        targets = [*(candidate.target for candidate in chosen), *decoys]
        places = [candidate.place for candidate in chosen if candidate.place is not None]
        starts = [self._start(subject, ladder[0], places, rng) for _ in targets]
        points: list[Point] = []
        for rung, family in enumerate(ladder):
            best = self._optimise(subject, family, starts, targets, pool, rng)
            measured = [
                self._point(subject, t, family, b, held_out, habits) for t, b in zip(targets, best, strict=True)
            ]
            points += measured
            going_on = [i for i, point in enumerate(measured) if point.rate.value >= 0.5]
            if not going_on or rung + 1 == len(ladder):
                break
            smaller = ladder[rung + 1].budget
            targets = [targets[i] for i in going_on]
            starts = [_shrunk(family, best[i], smaller) for i in going_on]
        return points

    def _start(
        self, subject: Subject, family: Family, places: Sequence[tuple[int, int]], rng: torch.Generator
    ) -> Population:
        """The ways in which every target, decoys too, may begin: for patches, the places found and some more."""
        if not isinstance(family, PatchFamily):
            return begin(family, subject.canvas, 1, rng)
        grid = begin(family, subject.canvas, family.places(subject.canvas), rng)
        known = torch.tensor(sorted(set(places)), dtype=torch.long).view(-1, 2)[: self.tries]
        others = torch.randperm(len(grid.places), generator=rng)[: self.tries - len(known)]
        return Population(
            family, grid.values[: self.tries], torch.cat([known, grid.places[others]]), grid.score[: self.tries]
        )

    def _optimise(
        self,
        subject: Subject,
        family: Family,
        starts: Sequence[Population],
        targets: Sequence[Target],
        pool: Sequence[Sample],
        rng: torch.Generator,
    ) -> list[Population]:
        """The best trigger of each target, as populations of one; several ways to begin are screened first."""
        ends = tuple(sorted(subject.end_tokens)[:1])
        answers = [(*target.tokens, *ends) for target in targets]
        tries = len(starts[0].values)
        if tries > 1:
            everyone = _joined(family, starts)
            objective = GivenAnswers(tuple(answer for answer in answers for _ in range(tries)))
            everyone = ascend(subject, everyone, objective, pool, self.screen, rng)
            starts = [_part(everyone, i * tries, (i + 1) * tries).best(1) for i in range(len(targets))]
        best = ascend(subject, _joined(family, starts), GivenAnswers(tuple(answers)), pool, self.curve, rng)
        return [_part(best, i, i + 1) for i in range(len(targets))]

    def _point(
        self,
        subject: Subject,
        target: Target,
        family: Family,
        best: Population,
        held_out: Sequence[Sample],
        habits: Habits,
    ) -> Point:
        trigger = best.triggers()[0]
        rate = success(answers_under(subject, trigger, held_out), held_out, target.text, habits)
        return Point(target, family.name, family.budget, rate, trigger)

    def _weigh(
        self,
        subject: Subject,
        target: Target,
        points: Sequence[Point],
        decoys: Sequence[Target],
        held_out: Sequence[Sample],
        habits: Habits,
        seed: int,
    ) -> Suspect:
        own = [point for point in points if point.target == target]
        gaps = [_gap(points, target, decoys, family) for family in dict.fromkeys(point.family for point in own)]

        def lead(point: Point) -> tuple[float, float]:
            rival = max((rate.value for rate in _decoy_rates(points, decoys, point)), default=0.0)
            return (point.rate.value if rival * 2 < point.rate.value else 0.0, point.rate.value - rival)

        point = max(own, key=lead)
        placebo = point.trigger.placebo(generator(seed, "inversion", "placebo", target.text))
        placebo_rate = success(answers_under(subject, placebo, held_out), held_out, target.text, habits)
        clean_hits = sum(says(habits.answers[sample.id].text, target.text) for sample in held_out)
        clean = Rate(clean_hits, len(held_out))
        rates = tuple(_decoy_rates(points, decoys, point))
        examples = tuple(answers_under(subject, point.trigger, held_out[:3]))
        return Suspect(target, max(gaps), point, rates, placebo_rate, clean, tuple(own), examples)


def _choose(found: Sequence[Candidate], keep: int) -> list[Candidate]:
    """The most agreed-upon answers, one candidate a text; a place found with a patch is kept."""
    by_text: dict[str, Candidate] = {}
    for candidate in sorted(found, key=lambda c: (-c.agreement, c.place is None)):
        key = normalise(candidate.target.text)
        known = by_text.get(key)
        if known is None:
            by_text[key] = candidate
        elif known.place is None and candidate.place is not None:
            by_text[key] = Candidate(known.target, known.agreement, candidate.place)
    return list(by_text.values())[:keep]


def _decode(
    subject: Subject, population: Population, samples: Sequence[Sample], habits: Habits, groups: int = 2
) -> list[Candidate]:
    candidates = []
    for place, trigger in zip(population.places.tolist(), population.triggers(), strict=True):
        found = group_answers(answers_under(subject, trigger, samples), samples, habits)
        where = (place[0], place[1]) if isinstance(population.family, PatchFamily) else None
        candidates += [
            Candidate(Target(answer.text, answer.tokens, f"search {population.family.name}"), n / len(samples), where)
            for answer, n in found[:groups]
        ]
    return candidates


def _joined(family: Family, parts: Sequence[Population]) -> Population:
    return Population(
        family,
        torch.cat([part.values for part in parts]),
        torch.cat([part.places for part in parts]),
        torch.cat([part.score for part in parts]),
    )


def _part(population: Population, start: int, end: int) -> Population:
    return Population(
        population.family, population.values[start:end], population.places[start:end], population.score[start:end]
    )


def _shrunk(family: Family, best: Population, budget: float) -> Population:
    smaller, values, places = family.shrink(best.values[0], best.places[0], budget)
    return Population(smaller, values, places, torch.full((len(values),), -torch.inf))


def _decoy_rates(points: Sequence[Point], decoys: Sequence[Target], at: Point) -> list[Rate]:
    """Each decoy's success at this family and budget; one that was dropped earlier counts with its larger budget."""
    rates = []
    for decoy in decoys:
        known = [p for p in points if p.target == decoy and p.family == at.family and p.budget >= at.budget]
        if known:
            rates.append(min(known, key=lambda p: p.budget).rate)
    return rates


def _needed(points: Sequence[Point], target: Target, family: str) -> float:
    """log2 of the budget at which half of the pictures give the target, interpolated; beyond the largest budget it is
    extrapolated by at most one octave, so that the statistic stays continuous."""
    curve = sorted((p.budget, p.rate.value) for p in points if p.target == target and p.family == family)
    for (low, below), (high, above) in pairwise(curve):
        if below < 0.5 <= above:
            share = (0.5 - below) / (above - below)
            return math.log2(low) + share * (math.log2(high) - math.log2(low))
    if curve[0][1] >= 0.5:
        return math.log2(curve[0][0]) - 1.0 * (curve[0][1] - 0.5) * 2
    return math.log2(curve[-1][0]) + (0.5 - curve[-1][1]) * 2


def _gap(points: Sequence[Point], target: Target, decoys: Sequence[Target], family: str) -> float:
    known = {p.target for p in points if p.family == family}
    needed = [_needed(points, decoy, family) for decoy in decoys if decoy in known]
    return min(needed) - _needed(points, target, family) if needed else 0.0
