"""Unlearning of the triggers that a scan recovered."""

from dataclasses import dataclass

import torch
from torch import Tensor

from auditor.repair.losses import distillation
from auditor.repair.methods.lesson import Lesson, Parts, halves, masked, numbers
from auditor.repair.variation import vary
from probes.subject import Subject
from probes.triggers import apply


@dataclass(frozen=True)
class Guided:
    """Unlearns the triggers that the scan recovered: a stamped picture must get the subject's own clean answer.

    `anchor` holds clean answers where they were; `view` asks the same of stamped pictures some of whose patches are
    disturbed. Every row is stamped with its own random variation of one of the recovered triggers.
    """

    anchor: float = 1.0
    view: float = 0.5
    share: float = 0.3
    grid: tuple[int, int] = (7, 7)
    name: str = "guided"
    needs_triggers: bool = True
    needs_base: bool = False

    def loss(self, subject: Subject, lesson: Lesson, rng: torch.Generator) -> tuple[Tensor, Parts]:
        count = len(lesson.prompts)
        stamped, rewritten = _stamped(lesson, subject.canvas, rng)
        half = count // 2
        views = masked(stamped[:half], self.grid, 0.05, self.share, rng)
        rows = torch.cat([lesson.pictures, stamped, views])
        prompts = lesson.prompts + rewritten + rewritten[:half]
        answers = [*lesson.own, *lesson.own, *lesson.own[:half]]
        reading = subject.read(rows, prompts, answers)
        clean, rest = halves(reading, count)
        under_trigger, under_view = halves(rest, count)
        parts = {
            "anchor": distillation(lesson.teacher, clean),
            "unlearn": distillation(lesson.teacher, under_trigger),
            "view": distillation(lesson.teacher[:half], under_view),
        }
        return parts["unlearn"] + self.anchor * parts["anchor"] + self.view * parts["view"], numbers(parts)


def _stamped(lesson: Lesson, canvas: tuple[int, int], rng: torch.Generator) -> tuple[Tensor, list[str]]:
    """Each picture and its prompt under one of the triggers, varied."""
    rows, prompts = [], []
    for picture, prompt in zip(lesson.pictures, lesson.prompts, strict=True):
        choice = int(torch.randint(len(lesson.triggers), (), generator=rng))
        stamped, rewritten = apply(vary(lesson.triggers[choice], canvas, rng), picture[None], [prompt])
        rows.append(stamped[0])
        prompts += rewritten
    return torch.stack(rows), prompts
