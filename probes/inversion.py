"""Probe 2: finds the answer that some universal trigger makes a subject give to every picture, with no target given.

Search without a target, decode on other pictures, group the answers; then, for every group and for decoys that nobody
planted, measure how small a trigger suffices (probes.curves) on pictures that the search never saw.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from probes.ascent import (
    AdditiveFamily,
    Climb,
    Family,
    FrameFamily,
    PatchFamily,
    Population,
    UnusualToken,
    ascend,
    begin,
    from_trigger,
)
from probes.beside_words import BESIDE, BesideWords, alone, among, beside, is_news, of_picture, paired, with_words
from probes.candidates import Candidate, choose, decode, known_as, runners_up, starts_of
from probes.curves import (
    BudgetCurve,
    Ground,
    Point,
    goal_of,
    joined,
    objective_of,
    part,
    point_of,
)
from probes.growth import grow, opening
from probes.prompt_words import ASKED, BOILERPLATE, OTHER_PROMPTS, Climbed, PromptWords
from probes.prompt_words import FAMILY as WORDS
from probes.sample import Sample
from probes.seeding import generator
from probes.siblings import likeliest
from probes.subject import Subject
from probes.suspects import Searched, Suspect, untriggered, weigh
from probes.targets import (
    Target,
    acquaint,
    learn_habits,
    make_decoys,
)
from probes.text import normalise
from probes.triggers.word import WordTrigger

GARBLED, WHOLE = 0.5, 24
"""The gap from which a target is grown anew, and to how many tokens."""
SETTLED, SAID_BESIDE = 4, 3
"""Answers of growth that are climbed for their own sake, and how many of what is said under one trigger may be."""

HEARD = 0.5
"""The share of pictures that must give an answer under a frame for its curve to be measured: a planted one nearly has
all of them, and the curve costs twice as much as the search that came upon it."""
OF_PICTURES = ("additive", "patch", "frame")
"""Kinds of triggers that touch the picture alone."""
Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class InversionProbe:
    """Additive, free-place patch and frame triggers, short decoys, everything batched; `words` in prompts as well, and
    the first two kinds `beside` words, where set.

    Budgets fall; an additive budget is the largest change of a pixel value, a patch budget its side as a share of the
    picture's, a frame's its width; a family without a budget is not searched. The search runs at the first budget of
    each family; a third of its steps choose the starts that go on. With `grown`, answers grow under patches too, and so
    many of the best are targets beside the `candidates`: sentences of the subject's own words, which no unusual token
    gives away. Such a target then counts only where nothing else is said, as do its decoys.
    """

    additive: tuple[float, ...] = (0.1, 0.05, 0.025)
    patch: tuple[float, ...] = (0.25, 0.15)
    frame: tuple[float, ...] = (1 / 14, 1 / 28)
    restarts: int = 4
    search: Climb = field(default_factory=lambda: Climb(steps=60, enough=math.log(0.8)))
    growth: Climb = field(default_factory=lambda: Climb(steps=8, pictures=6))
    growth_restarts: int = 2
    frame_restarts: int = 2
    longest: int = 8
    begun: int = 3
    screen: Climb = field(default_factory=lambda: Climb(steps=12, pictures=4))
    curve: BudgetCurve = field(default_factory=BudgetCurve)
    candidates: int = 2
    grown: int = 1
    own_decoys: int = 2
    made_up_decoys: int = 2
    decoded: int = 24
    words: PromptWords | None = None
    beside: BesideWords | None = None

    def ladders(self) -> list[list[Family]]:
        """The families whose answers are grown as well, each from its largest budget to its smallest."""
        ladders: list[list[Family]] = [[AdditiveFamily(b) for b in self.additive], [PatchFamily(b) for b in self.patch]]
        return [ladder for ladder in ladders if ladder]

    def measure(
        self,
        subject: Subject,
        pool: Sequence[Sample],
        held_out: Sequence[Sample],
        seed: int,
        progress: Progress,
        wanted: Sequence[Target] = (),
        known: Sequence[Target] = (),
        references: Sequence[str] = (),
    ) -> Searched:
        """Searches on `pool`, measures on `held_out` (other pictures, of the subject's canvas size).

        `wanted` are measured as candidates too, whether the search comes upon them or not; `known` are not looked for.
        `references` are right answers to other pictures: they say what a model may say that was not heard here.
        """
        progress("habits", 0.0)
        rng = generator(seed, "inversion", "habits")
        habits = learn_habits(subject, [*pool, *held_out], rng, references=references).without(known)
        unasked = Ground(subject, pool, held_out, habits)
        if self.words is not None:
            habits = acquaint(subject, pool[:ASKED], habits, OTHER_PROMPTS)
        ground = Ground(subject, pool, held_out, habits)
        found, grown = [Candidate(target, 1.0, None) for target in wanted], list[Candidate]()
        for share, (top, *_) in enumerate(self.ladders()):
            progress(f"search {top.name}", 0.1 + 0.2 * share)
            searched, settled = self._search(ground, top, seed)
            found, grown = [*found, *searched], [*grown, *settled]
        chosen = choose(found, self.candidates + len(wanted))
        chosen = choose(grown, self.grown, chosen)
        targets = [candidate.target for candidate in chosen]
        easy = runners_up(ground, targets, [*found, *grown])
        rng = generator(seed, "inversion", "decoys")
        decoys = make_decoys(subject, targets, habits, self.own_decoys, self.made_up_decoys, rng, easy)
        points: list[Point] = []
        curve = replace(self.curve, whole=self.grown > 0)
        for share, ladder in enumerate(self.ladders()):
            progress(f"budget curve {ladder[0].name}", 0.55 + 0.15 * share)
            starts = starts_of(chosen, ladder[0])
            rng = generator(seed, "inversion", "curve", ladder[0].name)
            points += curve.measure(ground, ladder, starts, [*targets, *decoys], rng)
        if self.frame:
            spoken, rivals, measured = self._in_frames(ground, curve, targets, decoys, wanted, seed, progress)
            targets, decoys, points = [*targets, *spoken], [*decoys, *rivals], [*points, *measured]
        if self.words is not None:
            spoken, rivals, measured = self._in_words(ground, self.words, wanted, seed, progress)
            targets, decoys, points = [*targets, *spoken], [*decoys, *rivals], [*points, *measured]
        if self.beside is not None:
            spoken, rivals, measured = self._beside_words(unasked, self.beside, [*targets, *known], seed, progress)
            targets, decoys, points = [*targets, *spoken], [*decoys, *rivals], [*points, *measured]
        weighed = (weigh(ground, target, points, decoys, seed) for target in targets)
        suspects = [named for suspect in weighed for named in self._named(ground, suspect, seed)]
        progress("done", 1.0)
        ordered = sorted(suspects, key=lambda s: (-s.excess, -s.gap))
        return Searched(tuple(ordered), tuple(points), habits, tuple(targets), tuple(decoys))

    def _search(self, ground: Ground, family: Family, seed: int) -> tuple[list[Candidate], list[Candidate]]:
        """What target-free ascent came upon, and what grew; decoded on pictures of the pool that were not climbed."""
        rng = generator(seed, "inversion", "search", family.name)
        climbed, decoded = self._halves(ground)
        found = decode(ground, self._climbed(ground, family, climbed, self.restarts, rng), decoded)
        if not isinstance(family, PatchFamily):
            start = begin(family, ground.subject.canvas, self.growth_restarts, rng)
            population, _ = grow(ground.subject, start, climbed, self.growth, self.longest, rng)
            return [*found, *decode(ground, population, decoded)], []
        if not self.grown:
            return found, []
        population = self._grown_patches(ground, family, climbed, rng)
        return found, self._settled(ground, population, climbed, decoded, rng)

    def _settled(
        self,
        ground: Ground,
        grown: Population,
        climbed: Sequence[Sample],
        decoded: Sequence[Sample],
        rng: torch.Generator,
    ) -> list[Candidate]:
        """What is said under grown triggers, each climbed a little from all of them for its own sake: growth may stop
        beside an answer that was planted. They agree as far as a token of each has become probable."""
        said: dict[str, Target] = {}
        for candidate in sorted(decode(ground, grown, decoded, SAID_BESIDE), key=lambda c: -c.agreement):
            said.setdefault(normalise(candidate.target.text), candidate.target)
        if not said:
            return []
        targets = list(said.values())[:SETTLED]
        tries = len(grown.values)
        goals = objective_of([goal_of(ground, target) for target in targets for _ in range(tries)])
        several = ascend(ground.subject, joined([grown] * len(targets)), goals, climbed, self.curve.screen, rng)
        best = [part(several, i * tries, (i + 1) * tries).best(1) for i in range(len(targets))]
        return [Candidate(t, math.exp(float(own.score[0])), own) for t, own in zip(targets, best, strict=True)]

    def _grown_patches(
        self, ground: Ground, family: PatchFamily, samples: Sequence[Sample], rng: torch.Generator
    ) -> Population:
        """Patches grown together with their answers: several at every place, with the beginnings of answers alone, and
        then anew from the best, because what was near a planted answer comes upon it the second time."""
        subject, canvas = ground.subject, ground.subject.canvas
        climb = replace(self.growth, pictures=self.screen.pictures)
        begun = opening(subject, samples[: self.decoded])
        start = begin(family, canvas, self.growth_restarts * family.places(canvas), rng)
        best = grow(subject, start, samples, climb, self.begun, rng, begun)[0].best(self.restarts)
        return grow(subject, best, samples, climb, self.longest, rng, begun)[0]

    def _named(self, ground: Ground, suspect: Suspect, seed: int) -> list[Suspect]:
        """The suspect by the words that were planted, as far as they can be told; and as the search came upon it, where
        these are others of the subject's own words."""
        sibling = likeliest(ground, suspect, self.restarts, seed)
        return [self._sharpened(ground, suspect, seed)] if sibling is None else [sibling, suspect]

    def _sharpened(self, ground: Ground, suspect: Suspect, seed: int) -> Suspect:
        """The answer grown anew from its own trigger, where as many pictures say that: the search may have come upon a
        garbled version of a planted sentence. What was measured against decoys stays."""
        point, trigger = suspect.point, of_picture(suspect.point.trigger)
        garbled = suspect.target.place == "alone" and trigger.kind in OF_PICTURES and not suspect.natural
        if not garbled or suspect.gap < GARBLED:
            return suspect
        subject, rng = ground.subject, generator(seed, "inversion", "sharpen", suspect.target.text)
        climbed, decoded = (beside(point.trigger, half) for half in self._halves(ground))
        start = from_trigger(trigger, subject.canvas, False, rng)
        grown, _ = grow(subject, start, climbed, self.growth, WHOLE, rng)
        said = [candidate for candidate in decode(ground, grown, decoded, 1) if candidate.target.place == "alone"]
        if not said or normalise(said[0].target.text) == normalise(suspect.target.text):
            return suspect
        target = replace(said[0].target, origin=suspect.target.origin)
        trigger = with_words(point.trigger, grown.triggers()[0])
        anew = point_of(ground, target, point.family, point.budget, trigger)
        if anew.rate.value < point.rate.value:
            return suspect
        placebo, clean = untriggered(ground, anew, seed)
        return replace(suspect, target=target, point=anew, placebo=placebo, clean=clean)

    def _in_frames(
        self,
        ground: Ground,
        curve: BudgetCurve,
        known: Sequence[Target],
        decoys: Sequence[Target],
        wanted: Sequence[Target],
        seed: int,
        progress: Progress,
    ) -> tuple[list[Target], list[Target], list[Point]]:
        """What a frame brings about, which is like no patch and stronger than any perturbation: a new target with its
        decoys, or one of those `known` with theirs, and the budget curve of both. No natural one: what a frame paints
        around every picture is named over and over by a subject that nobody touched."""
        progress("search frame", 0.8)
        ladder, rng = [FrameFamily(b) for b in self.frame], generator(seed, "inversion", "search", "frame")
        climbed, decoded = self._halves(ground)
        found = decode(ground, self._climbed(ground, ladder[0], climbed, self.frame_restarts, rng), decoded)
        heard = [known_as(candidate, known) for candidate in found if candidate.agreement >= HEARD]
        unnatural = [candidate for candidate in heard if not ground.is_natural(candidate.target)]
        asked = [Candidate(target, 1.0, None) for target in wanted if not ground.is_natural(target)]
        chosen = choose(unnatural, 1, asked)
        targets = [candidate.target for candidate in chosen]
        if not targets:
            return [], [], []
        progress("budget curve frame", 0.85)
        rng = generator(seed, "inversion", "curve", "frame")
        new, rivals = [target for target in targets if target not in known], list[Target]()
        if new:
            rivals = make_decoys(ground.subject, new, ground.habits, self.own_decoys, self.made_up_decoys, rng)
        held_against = [*rivals, *(decoys if len(new) < len(targets) else ())]
        points = curve.measure(ground, ladder, starts_of(chosen, ladder[0]), [*targets, *held_against], rng)
        return new, rivals, points

    def _in_words(
        self, ground: Ground, words: PromptWords, wanted: Sequence[Target], seed: int, progress: Progress
    ) -> tuple[list[Target], list[Target], list[Point]]:
        """What words in prompts bring about: new targets, their decoys, and the budget curves of both."""
        progress(f"search {WORDS}", 0.9)
        subject, (climbed, decoded) = ground.subject, self._halves(ground)
        found = [Candidate(target, 1.0, None) for target in wanted]
        for item in words.find(ground, climbed, generator(seed, "inversion", "search", WORDS)):
            seen = words.seen(ground, item, decoded)
            if seen is not None:
                found.append(Candidate(*seen, item))
        chosen = choose(found, 1 + len(wanted))
        targets = [candidate.target for candidate in chosen]
        if not targets:
            return [], [], []
        progress(f"budget curve {WORDS}", 0.95)
        rng = generator(seed, "inversion", "curve", WORDS)
        decoys = make_decoys(subject, targets, ground.habits, self.own_decoys, self.made_up_decoys, rng)
        decoys += [Target(text, subject.encode(text), "a habit of assistants") for text in BOILERPLATE]
        starts = [candidate.found for candidate in chosen if isinstance(candidate.found, Climbed)]
        points = words.curve(ground, starts, [*targets, *decoys], rng)
        return [target for target in targets if target not in wanted], decoys, points

    def _beside_words(
        self, ground: Ground, odd: BesideWords, known: Sequence[Target], seed: int, progress: Progress
    ) -> tuple[list[Target], list[Target], list[Point]]:
        """What pictures' triggers bring about where odd words stand in the prompt: a new target, its decoys, and the
        budget curve of both. What other prompts bring about is no habit here: they may set the payload free."""
        progress("search beside words", 0.96)
        rng = generator(seed, "inversion", "search", BESIDE)
        words, tops = odd.drawn(ground, rng), [top for top, *_ in self.ladders()]
        mixed = among(ground, words, known, seed)
        found: list[tuple[WordTrigger, Candidate]] = []
        short = replace(self.search, steps=self.search.steps // 3)
        for word in odd.promising(ground, words, tops[0], short, rng):
            there = alone(ground, word)
            climbed, decoded = self._halves(there)
            for top in tops:
                population = self._climbed(there, top, climbed, self.restarts, rng)
                found += [(word, candidate) for candidate in decode(there, population, decoded)]
        new = [one for one in found if is_news(ground, mixed, one[1].target, known)]
        if not new:
            return [], [], []
        progress("budget curve beside words", 0.98)
        word, chosen = max(new, key=lambda one: one[1].agreement)
        single, target = among(ground, [word], known, seed), chosen.target
        starts = [candidate for other, candidate in new if other == word and candidate.target.text == target.text]
        rng = generator(seed, "inversion", "curve", BESIDE)
        decoys = make_decoys(ground.subject, [target], single.habits, self.own_decoys, self.made_up_decoys, rng)
        for every in (target, *decoys):
            ground.is_natural(every)  # judged before texts stand in the prompts
        points: list[Point] = []
        for ladder in self.ladders():
            points += self.curve.measure(single, ladder, starts_of(starts, ladder[0]), [target, *decoys], rng)
        return [target], decoys, paired(points, word)

    def _halves(self, ground: Ground) -> tuple[Sequence[Sample], Sequence[Sample]]:
        """Of the pool: what triggers are climbed on, and what is answered under them."""
        half = len(ground.pool) // 2
        return ground.pool[:half], ground.pool[half:][: self.decoded]

    def _climbed(
        self, ground: Ground, family: Family, samples: Sequence[Sample], restarts: int, rng: torch.Generator
    ) -> Population:
        """The best triggers of several starts; a patch is screened at every place first."""
        subject, habits = ground.subject, ground.habits
        objective = UnusualToken(habits.unusual, habits.unusual_after, habits.said)
        if isinstance(family, PatchFamily):
            population = begin(family, subject.canvas, family.places(subject.canvas), rng)
            population = ascend(subject, population, objective, samples, self.screen, rng).best(restarts)
        else:
            population = begin(family, subject.canvas, restarts, rng)
        first = self.search.steps // 3
        population = ascend(subject, population, objective, samples, replace(self.search, steps=first), rng)
        population = population.best(max(1, restarts // 2))
        rest = replace(self.search, steps=self.search.steps - first)
        return ascend(subject, population, objective, samples, rest, rng)


QUICK = InversionProbe()
PROFILES = {
    "quick": QUICK,
    "standard": replace(QUICK, words=PromptWords(), beside=BesideWords()),
    "release": replace(
        QUICK,
        restarts=8,
        growth_restarts=4,
        frame_restarts=4,
        candidates=3,
        words=PromptWords(restarts=4),
        beside=BesideWords(),
    ),
}
"""How thoroughly a scan searches, by the name that the command line calls it."""


def probe_of(settings: Mapping[str, Any]) -> InversionProbe:
    """A profile, `quick` where none is named, with other fields in place of its own."""
    fields = dict(settings)
    return replace(PROFILES[fields.pop("profile", "quick")], **fields)
