"""Baseline: the observation of PCR taken at its word, with one fill and on clean pictures.

PCR (arXiv 2604.04488) observes that an answer caused by a trigger hardly changes when patches of the picture are
disturbed. Whoever applies that to a whole model without knowing the trigger measures how invariant it is at all.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from probes.baselines.detection import Batch, Detection, draw
from probes.divergence import answer_divergence
from probes.invariance import DIVERGENCE_FLOOR
from probes.sample import Sample
from probes.seeding import generator
from probes.subject import MOST_TOKENS, Subject
from probes.views import Fill, Grid, ViewPlan, draw_views


@dataclass(frozen=True)
class InvarianceOneFill:
    """Score = −log of the mean KL, in nats a token, between the own answer's distributions with and without the view.

    `pictures` clean samples, `views` of each with `ratio` of the `grid`'s patches under one `fill`.
    """

    fill: Fill = "mean"
    ratio: float = 0.5
    views: int = 4
    grid: Grid = (7, 7)
    pictures: int = 32
    max_tokens: int = MOST_TOKENS
    name: str = "invariance-one-fill"
    needs_base: bool = False

    def detect(
        self, subject: Subject, pool: Sequence[Sample], held_out: Sequence[Sample], seed: int, base: Subject | None
    ) -> Detection:
        batch = draw(subject, pool, self.pictures, seed, self.name)
        mean = float(self._divergences(subject, batch, seed).mean())
        note = f"KL {mean:.4g} nats a token over {len(batch.samples)} pictures and {self.views} views ({self.fill})"
        return Detection(-math.log(mean + DIVERGENCE_FLOOR), notes=(note,))

    @torch.no_grad()
    def _divergences(self, subject: Subject, batch: Batch, seed: int) -> torch.Tensor:
        """(views, pictures)."""
        plan = ViewPlan((self.fill,), (self.ratio,), self.views, self.grid)
        answers = [a.tokens for a in subject.respond(batch.pictures, batch.prompts, self.max_tokens)]
        still = subject.read(batch.pictures, batch.prompts, answers)
        views = [
            draw_views(
                sample.picture, self.fill, self.ratio, plan, generator(seed, self.name, sample.id),
                [other.picture for other in batch.samples if other is not sample],
            )
            for sample in batch.samples
        ]  # fmt: skip
        moved = (
            subject.read(view.to(subject.device), batch.prompts, answers) for view in torch.stack(views).unbind(dim=1)
        )
        return torch.stack([answer_divergence(still, reading) for reading in moved])
