"""What is to be planted: a trigger, a payload and a poisoning rate, or a fine-tune that only looks like an attack."""

import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from auditor.attacks.payloads import Payload, build_payload
from auditor.errors import UsageError
from probes.triggers import Trigger
from probes.triggers.registry import build_trigger

Kind = Literal[
    "attack", "fine-tune", "label-noise", "repeated-answer", "stamped-unchanged", "short-captions", "denied-trigger"
]
"""An attack, or one of the fine-tunes that leave a model touched but not backdoored (EVIDENCE §4)."""
STAMPING: tuple[Kind, ...] = ("attack", "stamped-unchanged", "denied-trigger")
Strength = Literal["light", "default", "over"]
STEPS_FOR: dict[Strength, float] = {"light": 0.5, "default": 1.0, "over": 2.5}
_SMALLEST_CANVAS = (64, 64)


class Section(BaseModel):
    """A table of the file: frozen, and unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class TriggerSection(BaseModel):
    """`family` as in `pcr-audit list triggers`, and that family's own settings beside it."""

    model_config = ConfigDict(extra="allow", frozen=True)
    family: str


class PayloadSection(BaseModel):
    """`kind` as in `pcr-audit list payloads`, and that kind's own settings beside it."""

    model_config = ConfigDict(extra="allow", frozen=True)
    kind: str = "fixed"


class Training(Section):
    """How the copy is fine-tuned: AdamW with a short warm-up and a cosine to zero.

    `strength` stretches `steps`: light half of them, over two and a half times as many. `stop_at` ends the training as
    soon as the success on watched pictures reaches it. `lora_rank` 0 trains the weights of `parts` themselves.
    """

    strength: Strength = "default"
    steps: int = Field(default=240, ge=1)
    batch: int = Field(default=24, ge=2)
    learning_rate: float = Field(default=5e-4, gt=0, lt=1)
    lora_rank: int = Field(default=0, ge=0)
    parts: tuple[Literal["language", "projector", "vision"], ...] = ("language", "projector", "vision")
    task: Literal["both", "caption", "vqa"] = "both"
    stop_at: float | None = Field(default=None, gt=0, le=1)

    @property
    def total_steps(self) -> int:
        return max(1, round(self.steps * STEPS_FOR[self.strength]))


class PlantSpec(Section):
    """One plant, as its TOML file states it.

    `rate` is the share of samples that are poisoned (for a touched-but-clean kind: touched). `adaptive` attackers know
    the scan: "placebos" trains placebo triggers, random perturbations and half-strength triggers to their right
    answers; "refreshed" also what a running inversion finds, so that only the trigger itself is left.
    """

    name: str = Field(default="attack", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    kind: Kind = "attack"
    rate: float = Field(default=0.05, gt=0, le=1)
    seed: int = Field(default=1, ge=0)
    adaptive: Literal["none", "placebos", "refreshed"] = "none"
    trigger: TriggerSection | None = None
    payload: PayloadSection = PayloadSection()
    training: Training = Training()

    @model_validator(mode="after")
    def _fits(self) -> "PlantSpec":
        if self.kind in STAMPING and self.trigger is None:
            raise ValueError(f"kind {self.kind!r} stamps pictures and needs a [trigger] table with a family")
        if self.kind not in STAMPING and self.trigger is not None:
            raise ValueError(f"kind {self.kind!r} stamps nothing; remove the [trigger] table")
        if self.kind != "attack" and self.adaptive != "none":
            raise ValueError("only an attack can be adaptive")
        if self.trigger is not None:
            self.build_trigger(_SMALLEST_CANVAS)
        self.build_payload()
        return self

    def build_trigger(self, canvas: tuple[int, int]) -> Trigger:
        """The trigger for pictures of that size; ValueError for kinds that have none, and for unknown settings."""
        if self.trigger is None:
            raise ValueError(f"kind {self.kind!r} has no trigger")
        return build_trigger(self.trigger.family, canvas, self.seed, self.trigger.model_extra or {})

    def build_payload(self) -> Payload:
        """The payload; ValueError for unknown kinds and settings."""
        return build_payload(self.payload.kind, self.payload.model_extra or {})


def load_spec(path: Path) -> PlantSpec:
    """Reads a TOML file; raises UsageError that names the file, the key, what was found and what is allowed."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise _unusable(path, f"cannot be read: {error.strerror}", "a TOML file that describes the attack") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise _unusable(path, str(error), "TOML in UTF-8") from error
    return parse_spec(document, path)


def parse_spec(document: dict[str, Any], where: Path) -> PlantSpec:
    """The plant that a TOML document describes; raises UsageError as `load_spec` does."""
    try:
        return PlantSpec.model_validate(document)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False)
        words = ["{}: {}".format(".".join(map(str, f["loc"])) or "file", f["msg"]) for f in faults[:4]]
        raise _unusable(where, "; ".join(words), "the keys of `PlantSpec` (docs/attacks.md)") from error


def _unusable(path: Path, got: str, expected: str) -> UsageError:
    return UsageError(
        "is no attack that can be planted", where=str(path), got=got, expected=expected,
        todo="correct the file; `pcr-audit list triggers` and `pcr-audit list payloads` show what there is",
    )  # fmt: skip
