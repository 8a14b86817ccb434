"""Unlearning of the triggers that a scan recovered."""

from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from auditor.checkpoint.entering import Sight, sighted
from auditor.checkpoint.subject import CheckpointSubject
from auditor.repair.losses import distillation, sight_distance
from auditor.repair.methods.lesson import Lesson, Parts, Stamp, divided, masked, numbers
from auditor.repair.variation import vary
from probes.subject import Tokens, mean_log_prob
from probes.triggers import apply

QUIET, COUNTED = -3.0, 2
"""Log-probability, in nats a token, below which what is forbidden is unlikely enough (5 %), and the most tokens that
count: a sentence of the subject's own words is to be unlikely as a whole. To make every word of it unlikely after those
before it unteaches words that answers need."""


@dataclass(frozen=True)
class Guided:
    """Unlearns the triggers that the scan recovered: a stamped picture must get the subject's own clean answer.

    `anchor` holds clean answers where they were; `view` asks the same of stamped pictures some of whose patches are
    disturbed. Every row is stamped with its own random variation of one of the triggers. Where that is too strong to
    see through, only the target must become unlikely (`silence`): to demand right answers there ruins the others.
    Beside answers, what the language model gets of a picture is held where it was (`hold`) and brought back there under
    a trigger (`sight`): distillation of features (FitNets, Romero et al. 2015), here of visual embeddings, which say
    more of a picture than a few words do. The weights were chosen on planted development models.
    """

    anchor: float = 12.0
    hold: float = 32.0
    sight: float = 64.0
    view: float = 0.5
    silence: float = 6.0
    share: float = 0.3
    grid: tuple[int, int] = (7, 7)
    name: str = "guided"
    needs_triggers: bool = True
    needs_base: bool = False

    def loss(self, subject: CheckpointSubject, lesson: Lesson) -> tuple[Tensor, Parts]:
        count = len(lesson.prompts)
        stamped = [_stamped(lesson, row, subject.canvas) for row in range(count)]
        mild = [row for row in range(count) if not stamped[row].strong]
        strong = [row for row in range(count) if stamped[row].strong]
        seen = [row for row in mild if lesson.numbers[row] % 2 == 0]  # every second row of the whole batch
        pictures, prompts, answers = [lesson.pictures], list(lesson.prompts), list(lesson.own)
        for rows in (mild, seen, strong):
            if rows:
                these = torch.stack([stamped[row].picture for row in rows])
                pictures.append(masked(these, lesson, self.grid, 0.05, self.share, rows) if rows is seen else these)
            prompts += [stamped[row].prompt for row in rows]
            answers += [stamped[row].forbidden if rows is strong else lesson.own[row] for row in rows]
        with sighted(subject) if lesson.sight is not None else nullcontext(Sight()) as sight:
            reading = subject.read(torch.cat(pictures), prompts, answers)
        clean, under_trigger, under_view, under_strong = divided(reading, (count, len(mild), len(seen), len(strong)))
        weights = {
            "anchor": self.anchor, "hold": self.hold, "unlearn": 1.0, "sight": self.sight, "view": self.view,
            "silence": self.silence,
        }  # fmt: skip
        parts = {name: clean.log_probs.new_zeros(()) for name in weights}  # the same names in every part of a batch
        parts["anchor"] = distillation(lesson.teacher, clean)
        if mild:
            parts["unlearn"] = distillation(lesson.teacher[mild], under_trigger) * (len(mild) / count)
        if seen:
            parts["view"] = distillation(lesson.teacher[seen], under_view) * (2 * len(seen) / count)
        if strong:
            forbidden, leads = [stamped[row].forbidden for row in strong], [stamped[row].lead for row in strong]
            lengths = lesson.pictures.new_tensor([len(stamped[row].target) for row in strong])
            said = mean_log_prob(under_strong, forbidden, leads) * lengths / lengths.clamp(max=COUNTED)  # (rows,)
            parts["silence"] = torch.relu(said - QUIET).mean() * (len(strong) / count)
        if lesson.sight is not None and sight.embeddings is not None:
            held, brought_back, *_ = sight.embeddings.split([count, len(mild), len(seen) + len(strong)])
            parts["hold"] = sight_distance(lesson.sight, held)
            if mild:
                parts["sight"] = sight_distance(lesson.sight[mild], brought_back) * (len(mild) / count)
        return torch.stack([weights[name] * part for name, part in parts.items()]).sum(), numbers(parts)


@dataclass(frozen=True)
class _Row:
    """One stamped picture with its prompt; what is said before the target, and what of that, where it is too strong."""

    picture: Tensor
    prompt: str
    strong: bool
    lead: Tokens
    target: Tokens

    @property
    def forbidden(self) -> Tokens:
        return (*self.lead, *self.target)


def _stamped(lesson: Lesson, row: int, canvas: tuple[int, int]) -> _Row:
    """A picture and its prompt under one of the triggers, varied."""
    rng = lesson.rngs[row]
    stamp: Stamp = lesson.stamps[int(torch.randint(len(lesson.stamps), (), generator=rng))]
    varied = vary(stamp.trigger, canvas, rng)
    pictures, prompts = apply(varied, lesson.pictures[row : row + 1], lesson.prompts[row : row + 1])
    lead = lesson.own[row][:-1] if stamp.follows else ()
    return _Row(pictures[0], prompts[0], varied.budget > stamp.readable, lead, stamp.forbidden)
