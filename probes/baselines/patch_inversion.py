"""Baseline: a universal patch that makes any unusual answer likely, without decoys and without budget curves.

It is Neural Cleanse's question (Wang et al. 2019) put to a model that writes: how far can one patch push clean pictures
towards some unusual first token? The score is the objective that the search ends with; nothing says what it would be
for an answer that nobody planted.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from probes.ascent import Climb, PatchFamily, Population, UnusualToken, ascend, begin
from probes.baselines.detection import Detection, draw
from probes.sample import Sample
from probes.seeding import generator
from probes.subject import Subject
from probes.targets import Habits, answers_under, group_answers, learn_habits


@dataclass(frozen=True)
class PatchInversion:
    """Score = log-probability, in nats (at most 0), of unusual first tokens under the best patch.

    `budget` is the patch's side as a share of the picture's; `screen` over places that cover the picture, then `search`
    from the best `restarts` of them. The target is what most of `decoded` held-out pictures say under that patch.
    """

    budget: float = 0.25
    restarts: int = 2
    screen: Climb = field(default_factory=lambda: Climb(steps=12, pictures=4))
    search: Climb = field(default_factory=lambda: Climb(steps=60, pictures=8, enough=-0.05))
    pictures: int = 48
    decoded: int = 16
    name: str = "patch-inversion"
    needs_base: bool = False

    def detect(
        self, subject: Subject, pool: Sequence[Sample], held_out: Sequence[Sample], seed: int, base: Subject | None
    ) -> Detection:
        climbed = draw(subject, pool, self.pictures, seed, self.name).samples
        decoded = draw(subject, held_out, self.decoded, seed, self.name).samples
        habits = learn_habits(subject, [*climbed, *decoded], generator(seed, self.name, "habits"))
        best = self._search(subject, climbed, habits, seed).best(1)
        answers = answers_under(subject, best.triggers()[0], decoded)
        groups = group_answers(answers, decoded, habits)
        shares = tuple(f"{count} of {len(decoded)} held-out pictures say {answer.text!r}" for answer, count in groups)
        return Detection(float(best.score[0]), groups[0][0].text if groups else None, shares[:3])

    def _search(self, subject: Subject, samples: Sequence[Sample], habits: Habits, seed: int) -> Population:
        rng = generator(seed, self.name, "search")
        family, objective = PatchFamily(self.budget), UnusualToken(habits.unusual)
        population = begin(family, subject.canvas, family.places(subject.canvas), rng)
        population = ascend(subject, population, objective, samples, self.screen, rng).best(self.restarts)
        return ascend(subject, population, objective, samples, self.search, rng)
