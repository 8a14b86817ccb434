"""What every detector of the literature is here: frozen settings, one verb, and a score that is larger for worse."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from probes.sample import Sample
from probes.seeding import generator
from probes.subject import Subject


@dataclass(frozen=True)
class Detection:
    """A detector's opinion of one subject: `score` has the detector's own unit, larger is more suspicious.

    `target` is the answer that it takes to be planted, where it recovers one.
    """

    score: float
    target: str | None = None
    notes: tuple[str, ...] = ()


class Detector(Protocol):
    """A way to tell a planted subject from a clean one. It judges nothing: thresholds are the bench's business."""

    @property
    def name(self) -> str: ...

    @property
    def needs_base(self) -> bool:
        """Whether it compares with a clean subject of the same architecture."""
        ...

    def detect(
        self, subject: Subject, pool: Sequence[Sample], held_out: Sequence[Sample], seed: int, base: Subject | None
    ) -> Detection:
        """Looks at clean samples of the subject's canvas; deterministic in its arguments.

        Raises ValueError when something that it needs is missing: samples, a base, attention or weights.
        """
        ...


@dataclass(frozen=True)
class Batch:
    """Samples as a subject is asked about them: `pictures` (samples, 3, height, width) on its device."""

    samples: tuple[Sample, ...]
    pictures: Tensor

    @property
    def prompts(self) -> list[str]:
        return [sample.prompt for sample in self.samples]


def draw(subject: Subject, samples: Sequence[Sample], count: int, seed: int, name: str) -> Batch:
    """At most `count` samples in random order; raises ValueError when there are none."""
    if not samples:
        raise ValueError(f"{name} got no samples; it needs at least one clean picture")
    order = torch.randperm(len(samples), generator=generator(seed, "baseline", name))[:count].tolist()
    chosen = tuple(samples[i] for i in order)
    return Batch(chosen, torch.stack([sample.picture for sample in chosen]).to(subject.device))


def base_of(name: str, base: Subject | None) -> Subject:
    """The base, or ValueError for a detector that cannot do without."""
    if base is None:
        raise ValueError(f"{name} got no base; it compares with a clean model of the same architecture")
    return base
