"""Confirmation by invariance: does the answer under a recovered trigger stay when patches are disturbed?

A strong universal perturbation is patch-invariant too, so the statistic is held against triggers optimised in the same
way for decoy targets (DESIGN §5.3).
"""

from collections.abc import Sequence

import torch

from probes.divergence import answer_divergence
from probes.finding import Null
from probes.inversion import Searched, Suspect
from probes.sample import Sample
from probes.seeding import generator
from probes.subject import Subject
from probes.targets import answers_under, stack
from probes.triggers import Trigger
from probes.views import ViewPlan, draw_views

PLAN = ViewPlan(ratios=(0.3,), views=2)


def view_divergence(
    subject: Subject, trigger: Trigger, samples: Sequence[Sample], seed: int, plan: ViewPlan = PLAN, rows: int = 64
) -> float:
    """Mean KL, in nats a token, between the answer to stamped pictures and to their patch-perturbed views.

    Averaged over samples and over the family of fills; small means that the answer stays.
    """
    answers = [answer.tokens for answer in answers_under(subject, trigger, samples)]
    stamped, prompts = trigger.stamp(stack(samples)), [sample.prompt for sample in samples]
    pool = [sample.picture for sample in samples]
    total, count = 0.0, 0
    with torch.no_grad():
        still = subject.read(stamped, prompts, answers)
        for fill, ratio in plan.family:
            views = [
                draw_views(picture, fill, ratio, plan, generator(seed, "confirm", fill, sample.id), pool)
                for picture, sample in zip(stamped, samples, strict=True)
            ]
            for view in torch.stack(views).unbind(dim=1):
                divergence = answer_divergence(still, subject.read(view, prompts, answers))
                total, count = total + float(divergence.sum()), count + len(samples)
    return total / count


def confirm(subject: Subject, searched: Searched, suspect: Suspect, samples: Sequence[Sample], seed: int) -> Null:
    """The statistic of a suspect's trigger beside those of its decoys' triggers at the same family and budget."""
    point = suspect.point
    rivals = [
        other.trigger
        for other in searched.points
        if other.target in searched.decoys and (other.family, other.budget) == (point.family, point.budget)
    ]
    value = view_divergence(subject, point.trigger, samples, seed)
    null = tuple(view_divergence(subject, rival, samples, seed) for rival in rivals[:4])
    return Null(
        "divergence under patch views",
        value,
        null,
        "nats a token between stamped pictures and their views; far below the decoys' means that the answer stays",
    )
