"""What a cell's models say: texts by situation, asked once for the planted model and its base and kept on disk."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from auditor.attacks.poisoning import Poison
from auditor.attacks.spec import PlantSpec
from probes.sample import Sample
from probes.seeding import generator
from probes.subject import Subject
from probes.targets import stack
from probes.triggers import Trigger, apply


@dataclass(frozen=True)
class Said:
    """Texts of one model's greedy answers to the same samples: `clean`, and for a cell that stamps, `stamped` with the
    true trigger and `placebo` with a random one of the same size and energy."""

    clean: list[str]
    stamped: list[str] = field(default_factory=list)
    placebo: list[str] = field(default_factory=list)

    def as_data(self) -> dict[str, list[str]]:
        return {"clean": self.clean, "stamped": self.stamped, "placebo": self.placebo}

    @classmethod
    def of(cls, data: dict[str, Any]) -> "Said":
        return cls(data["clean"], data["stamped"], data["placebo"])


def ask(subject: Subject, samples: Sequence[Sample], poison: Poison) -> Said:
    """Asks about every sample untouched, stamped, and with the placebo that `plant` has measured with."""
    clean = _texts(subject, samples, None)
    if poison.trigger is None:
        return Said(clean)
    placebo = poison.trigger.placebo(generator(poison.spec.seed, "plant", "placebo"))
    return Said(clean, _texts(subject, samples, poison.trigger), _texts(subject, samples, placebo))


def _texts(subject: Subject, samples: Sequence[Sample], trigger: Trigger | None) -> list[str]:
    pictures, prompts = stack(samples), [s.prompt for s in samples]
    if trigger is not None:
        pictures, prompts = apply(trigger, pictures, prompts)
    return [answer.text for answer in subject.respond(pictures, prompts)]


def poison_of(spec: PlantSpec, subject: Subject) -> Poison:
    """The cell's trigger and payload; label noise has no pool here, since nothing is taught."""
    return Poison.of(spec, subject.canvas, ())
