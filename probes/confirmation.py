"""Confirmation by invariance: does the answer under a recovered trigger stay when patches are disturbed?

A strong universal perturbation is patch-invariant too, so the statistic is held against triggers optimised in the same
way for decoy targets (DESIGN §5.3).
"""

from collections.abc import Sequence

import torch

from probes.curves import Point
from probes.divergence import answer_divergence
from probes.finding import Null
from probes.sample import Sample
from probes.seeding import generator
from probes.subject import Subject
from probes.suspects import Searched, Suspect
from probes.targets import Target, answers_under, stack
from probes.triggers import Trigger, apply
from probes.views import ViewPlan, draw_views

PLAN = ViewPlan(ratios=(0.3,), views=2)
RIVALS = 4


def view_divergence(
    subject: Subject, trigger: Trigger, samples: Sequence[Sample], seed: int, plan: ViewPlan = PLAN
) -> float:
    """Mean KL, in nats a token, between the answer to stamped pictures and to stamped patch-perturbed views of them.

    The picture is disturbed beneath the trigger, which stays whole: a local trigger that is covered says nothing about
    invariance. Small means that the answer does not follow the picture. Averaged over samples and the family of fills.
    """
    answers = [answer.tokens for answer in answers_under(subject, trigger, samples)]
    clean = stack(samples)
    stamped, prompts = apply(trigger, clean, [sample.prompt for sample in samples])
    found = []
    with torch.no_grad():
        still = subject.read(stamped, prompts, answers)
        for fill, ratio in plan.family:
            views = [
                draw_views(sample.picture, fill, ratio, plan, generator(seed, "confirm", fill, sample.id), list(clean))
                for sample in samples
            ]
            for view in torch.stack(views).unbind(dim=1):
                found.append(answer_divergence(still, subject.read(trigger.stamp(view), prompts, answers)))
    return float(torch.stack(found).mean())


def confirm(subject: Subject, searched: Searched, suspect: Suspect, samples: Sequence[Sample], seed: int) -> Null:
    """The statistic of a suspect's trigger beside those of decoys' triggers of the same family, at the same budget or,
    for decoys that did not get that far, at the next larger one."""
    point = suspect.point
    value = view_divergence(subject, point.trigger, samples, seed)
    found = [rival_trigger(searched, decoy, point) for decoy in searched.decoys]
    rivals = [rival for rival in found if rival is not None][:RIVALS]
    null = [view_divergence(subject, rival, samples, seed) for rival in rivals]
    return Null(
        "divergence under patch views",
        value,
        tuple(null),
        "nats a token by which the answer moves when the picture beneath the trigger is disturbed; near zero: it stays",
    )


def rival_trigger(searched: Searched, decoy: Target, point: Point) -> Trigger | None:
    """The decoy's trigger that is nearest in budget to the point, of the same family and not smaller."""
    own = [p for p in searched.points if p.target == decoy and p.family == point.family and p.budget >= point.budget]
    return min(own, key=lambda p: p.budget).trigger if own else None
