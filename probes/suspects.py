"""What a search is left with: suspected targets, each weighed against its decoys, placebos and untouched pictures."""

from collections.abc import Sequence
from dataclasses import dataclass

from probes.candidates import RUNNER_UP
from probes.curves import Ground, Point, decoy_rates, gap
from probes.finding import Null, Rate
from probes.prompt_words import FAMILY as WORDS
from probes.seeding import generator
from probes.targets import Habits, Target, answers_under, success
from probes.text import says
from probes.untouched import is_habitual, untouched


@dataclass(frozen=True)
class Suspect:
    """An answer group that the search brought up, with what was measured of it and of its decoys.

    `gap` is the log2 of the budget that the best decoy needs over the budget that this target needs, in its best family
    (censored above the largest budget); half of that for a `habitual` one. `natural` targets are made of what the
    subject says anyway; `untouched` is how readily it says one of its own words to clean pictures. `point` is the
    budget at which it stands out most; `decoys` are the successes of all decoys at that family and budget.
    """

    target: Target
    gap: float
    point: Point
    decoys: tuple[Rate, ...]
    placebo: Rate
    clean: Rate
    others: tuple[Point, ...]
    natural: bool
    untouched: Null | None = None

    @property
    def habitual(self) -> bool:
        """Whether hardly an answer to another picture is as ready without a trigger."""
        return is_habitual(self.untouched)

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


def weigh(ground: Ground, target: Target, points: Sequence[Point], decoys: Sequence[Target], seed: int) -> Suspect:
    """A target at the family and budget where it stands out most from the decoys that are as easy: a phrase beside an
    answer is said sooner than a whole one.

    Words do not speak against a natural target: a question brings it about in a model that nobody touched.
    """
    natural = ground.is_natural(target)
    decoys = [d for d in decoys if d.place == target.place and (natural or d.origin != RUNNER_UP)]
    own = [point for point in points if point.target == target and not (natural and point.family == WORDS)]
    families = dict.fromkeys(point.family for point in own)

    def lead(point: Point) -> tuple[float, float]:
        rival = max((rate.value for rate in decoy_rates(points, decoys, point)), default=0.0)
        return (point.rate.value if rival * 2 < point.rate.value else 0.0, point.rate.value - rival)

    point = max(own, key=lead)
    subject, held_out = ground.subject, ground.held_out
    largest = max(gap(points, target, decoys, family) for family in families)
    own_words = ground.habits.words_besides(target.text).issuperset(target.tokens)
    doubtful = largest > 0 and target.place == "alone" and own_words
    ready = untouched(subject, target, [*ground.pool, *held_out], ground.habits) if doubtful else None
    placebo, clean = untriggered(ground, point, seed)
    return Suspect(
        target=target,
        gap=largest / 2 if is_habitual(ready) else largest,
        point=point,
        decoys=tuple(decoy_rates(points, decoys, point)),
        placebo=placebo,
        clean=clean,
        others=tuple(own),
        natural=natural,
        untouched=ready,
    )


def untriggered(ground: Ground, point: Point, seed: int) -> tuple[Rate, Rate]:
    """How often a target is said under a placebo of its trigger, and to untouched pictures."""
    text, held_out = point.target.text, ground.held_out
    placebo = point.trigger.placebo(generator(seed, "inversion", "placebo", text))
    said = success(answers_under(ground.subject, placebo, held_out), held_out, text, ground.habits)
    clean = sum(says(ground.habits.answers[sample.id].text, text) for sample in held_out)
    return said, Rate(clean, len(held_out))
