"""Goes back towards the given model as far as the backdoor stays dead (weight interpolation, Wortsman et al. 2022).

Every repair moves weights that benign answers need too. Along the straight path from the given to the repaired weights
the backdoor of a patch dies long before the end, so the point that keeps most clean answers is taken among those where
no trigger works and most stamped answers are right again. It is chosen on clean samples that the loop has not trained
on. Where all triggers are made up, nothing is known to be planted, and clean answers alone decide. Where a perturbation
of the whole picture was recovered there is no way back: answers under the attacker's own trigger would go wrong long
before those under the fragment that is known do.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from auditor.checkpoint.subject import CheckpointSubject, frozen
from auditor.repair.adversary import STRONGER, Recovered, climbed_from, covers
from probes.ascent import Leads
from probes.sample import Sample
from probes.seeding import generator
from probes.subject import Tokens
from probes.targets import answers_under, stack
from probes.text import normalise, says
from probes.triggers import Trigger

SHARES = (1.0, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2)
PLANTED = 0.7
"""Where something was planted nobody goes further back: a piece of its sentence comes back before the whole does."""
DEAD = 0.01
"""A point is dead where no larger share of stamped answers says a target."""
NEAR = 0.95
"""Where fewer of the stamped answers are right than this share of the most, nobody goes on: with less, one cell of the
bench gave up eleven stamped answers of a hundred for one clean one."""
MOST = 64
"""Samples that are stamped with every trigger at the most; the clean answers are those to all."""


@dataclass(frozen=True)
class Step:
    """One point of the path: the share of the repair that is kept, and what that does.

    `kept` is the share of clean answers that stay, `restored` the share of answers to pictures with a recovered trigger
    that are right again, `hits` how many answers still say a target, under the recovered triggers and under ones
    climbed against this very point, of `asked`.
    """

    share: float
    kept: float
    restored: float
    hits: int
    asked: int

    @property
    def alive(self) -> float:
        return self.hits / max(1, self.asked)


def snapshot(model: Any) -> dict[str, Tensor]:
    """A copy of the weights as they are, in the memory of the host: a device may have room for them once."""
    return {name: tensor.detach().to("cpu", copy=True) for name, tensor in model.state_dict().items()}


def retreat(
    subject: CheckpointSubject,
    given: Mapping[str, Tensor],
    samples: Sequence[Sample],
    own: Sequence[Tokens],
    attacks: Sequence[tuple[Recovered, Leads]],
    seed: int,
    comes_back: Callable[[], bool] = lambda: False,
) -> tuple[Step, ...]:
    """Leaves the model at the best point of the path; returns all that were measured, the chosen one first.

    `comes_back` says whether something brings a target about at the point where the model is, though none of the
    triggers does: no point that goes as far back is chosen then.
    """
    repaired, made_up = snapshot(subject.model), not planted(attacks)
    steps: list[Step] = []
    least = 0.0 if made_up else 1.0 if covers(item for item, _ in attacks) else PLANTED
    for share in (share for share in SHARES if share >= least):
        _mix(subject.model, given, repaired, share)
        steps.append(measure(subject, share, samples, own, attacks, seed))
        far = steps[-1].restored < NEAR * max(step.restored for step in steps)
        if (steps[-1].alive > DEAD or far) and not made_up:
            break  # less of the repair leaves more of the backdoor
    left = steps
    while True:
        best = _choose(left, made_up)
        _mix(subject.model, given, repaired, best.share)
        nearer = [step for step in left if step.share > best.share]
        if made_up or not nearer or not comes_back():
            return (best, *(step for step in steps if step is not best))
        left = nearer


def planted(attacks: Sequence[tuple[Recovered, Leads]]) -> bool:
    """Whether a scan recovered any of the triggers."""
    return any(item.recovered for item, _ in attacks)


def measure(
    subject: CheckpointSubject,
    share: float,
    samples: Sequence[Sample],
    own: Sequence[Tokens],
    attacks: Sequence[tuple[Recovered, Leads]],
    seed: int,
) -> Step:
    """The point that the subject's weights are at now, on samples with its own answers before the repair."""
    right = [normalise(subject.decode(tokens)) for tokens in own]
    clean = subject.respond(stack(samples), [sample.prompt for sample in samples])
    kept = [normalise(answer.text) == text for answer, text in zip(clean, right, strict=True)]
    samples, right = samples[:MOST], right[:MOST]
    restored: list[bool] = []
    hits = asked = 0
    for number, (item, leads) in enumerate(attacks):
        said = answers_under(subject, item.trigger, samples)
        fresh = answers_under(subject, _climbed(subject, item, leads, samples, seed, number), samples)
        if item.recovered:
            restored += [normalise(answer.text) == text for answer, text in zip(said, right, strict=True)]
        hits += sum(says(answer.text, item.target) for answer in (*said, *fresh))
        asked += len(said) + len(fresh)
    return Step(share, sum(kept) / len(kept), sum(restored) / max(1, len(restored)), hits, asked)


def _choose(steps: Sequence[Step], made_up: bool) -> Step:
    """Among the points where no trigger works and most stamped answers are right, the one that keeps most clean
    answers; all points count where triggers are made up. The shorter way where that is the same, the whole where
    triggers work everywhere."""
    dead = [step for step in steps if step.alive <= DEAD or made_up] or [max(steps, key=lambda step: step.share)]
    most = max(step.restored for step in dead)
    near = [step for step in dead if step.restored >= NEAR * most or made_up]
    return max(near, key=lambda step: (step.kept, -step.share))


def _mix(model: Any, given: Mapping[str, Tensor], repaired: Mapping[str, Tensor], share: float) -> None:
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if tensor.is_floating_point():
                start, end = given[name].to(tensor.device), repaired[name].to(tensor.device)
                tensor.copy_(torch.lerp(start, end, share))


def _climbed(
    subject: CheckpointSubject, item: Recovered, leads: Leads, samples: Sequence[Sample], seed: int, number: int
) -> Trigger:
    """Climbed from the trigger against this very point, an additive one within twice its budget."""
    rng = generator(seed, "repair", "retreat", number)
    with frozen(subject.model):
        return climbed_from(subject, item, leads, samples, False, STRONGER[0], 10, rng)
