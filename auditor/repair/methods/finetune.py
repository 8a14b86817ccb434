"""Plain fine-tuning on clean pairs."""

from dataclasses import dataclass

from torch import Tensor

from auditor.repair.losses import answer_loss
from auditor.repair.methods.lesson import Lesson, Parts, numbers
from probes.subject import Subject


@dataclass(frozen=True)
class Finetune:
    """Plain fine-tuning on clean pairs: the baseline that leaves most of a backdoor in place."""

    name: str = "finetune"
    needs_triggers: bool = False
    needs_base: bool = False

    def loss(self, subject: Subject, lesson: Lesson) -> tuple[Tensor, Parts]:
        reading = subject.read(lesson.pictures, lesson.prompts, lesson.references)
        parts = {"answer": answer_loss(reading, lesson.references)}
        return parts["answer"], numbers(parts)
