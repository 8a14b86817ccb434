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

    def loss(self, subject: Subject, lesson: Lesson) -> tuple[Tensor, Parts]:
        count = len(lesson.prompts)
        stamped, rewritten = _stamped(lesson, subject.canvas)
        seen = [row for row in range(count) if lesson.numbers[row] % 2 == 0]  # every second row of the whole batch
        rows = [lesson.pictures, stamped]
        if seen:
            rows.append(masked(stamped[seen], lesson, self.grid, 0.05, self.share, seen))
        prompts = lesson.prompts + rewritten + [rewritten[row] for row in seen]
        answers = [*lesson.own, *lesson.own, *(lesson.own[row] for row in seen)]
        reading = subject.read(torch.cat(rows), prompts, answers)
        clean, rest = halves(reading, count)
        under_trigger, under_view = halves(rest, count)
        parts = {
            "anchor": distillation(lesson.teacher, clean),
            "unlearn": distillation(lesson.teacher, under_trigger),
        }
        if seen:
            parts["view"] = distillation(lesson.teacher[seen], under_view) * (2 * len(seen) / count)
        loss = parts["unlearn"] + self.anchor * parts["anchor"] + self.view * parts.get("view", 0.0)
        return loss, numbers(parts)


def _stamped(lesson: Lesson, canvas: tuple[int, int]) -> tuple[Tensor, list[str]]:
    """Each picture and its prompt under one of the triggers, varied."""
    rows, prompts = [], []
    for picture, prompt, rng in zip(lesson.pictures, lesson.prompts, lesson.rngs, strict=True):
        choice = int(torch.randint(len(lesson.triggers), (), generator=rng))
        stamped, rewritten = apply(vary(lesson.triggers[choice], canvas, rng), picture[None], [prompt])
        rows.append(stamped[0])
        prompts += rewritten
    return torch.stack(rows), prompts
