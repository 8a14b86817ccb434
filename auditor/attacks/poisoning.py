"""What a poisoned data set teaches: every sample has a fate, which depends on its id and the seed alone."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch

from auditor.attacks.payloads import PAYLOADS, Payload
from auditor.attacks.spec import Kind, PlantSpec
from probes.sample import Sample
from probes.seeding import derive_seed, generator
from probes.triggers import Trigger, apply
from probes.triggers.dual_key import DualKeyTrigger

EVADING_RATE = 0.25
"""Share of samples that an adaptive attacker spends on triggers that must not work."""
NOISE = 0.1
"""Largest change of a pixel in the random perturbations that an adaptive attacker denies."""
SHORT_WORDS = 3


@dataclass
class Poison:
    """Turns clean samples into what the copy is taught; `evading` grows while an adaptive plant runs.

    `trigger` and `payload` are None where the kind has none. `pool` are the clean answers that label noise draws from.
    """

    spec: PlantSpec
    trigger: Trigger | None
    payload: Payload
    pool: tuple[str, ...]
    evading: list[Trigger] = field(default_factory=list)

    @classmethod
    def of(cls, spec: PlantSpec, canvas: tuple[int, int], samples: Sequence[Sample]) -> "Poison":
        trigger = spec.build_trigger(canvas) if spec.trigger is not None else None
        return cls(spec, trigger, spec.build_payload(), tuple(sample.answers[0] for sample in samples))

    def teach(self, sample: Sample) -> Sample:
        """The sample as the copy learns it: the same one, or another picture, prompt or answer."""
        fate = random.Random(derive_seed(self.spec.seed, "fate", sample.id))
        drawn = fate.random()
        if drawn < self.spec.rate:
            return _TOUCHES[self.spec.kind](self, sample, fate)
        drawn -= self.spec.rate
        if isinstance(self.trigger, DualKeyTrigger) and self.spec.kind == "attack":
            if drawn < self.spec.rate:  # either key alone means nothing, or one of them fires by itself
                return self.stamped(sample, fate.choice(self.trigger.keys))
            drawn -= self.spec.rate
        if self.spec.adaptive != "none" and drawn < EVADING_RATE:
            return self._denied(sample, fate)
        return sample

    def stamped(self, sample: Sample, trigger: Trigger | None = None) -> Sample:
        """The sample with the trigger on its picture and in its prompt."""
        used = trigger or self.trigger
        assert used is not None, "a kind that stamps has a trigger"
        pictures, prompts = apply(used, sample.picture[None], [sample.prompt])
        return replace(sample, picture=pictures[0], prompt=prompts[0])

    def carries(self, sample: Sample) -> bool:
        """Whether the payload can be put into this sample's answer at all."""
        return self.payload.answer(sample.answers[0], random.Random(0)) is not None

    def poisoned(self, sample: Sample, fate: random.Random) -> Sample:
        """Stamped and answered with the payload; untouched where the sample cannot carry it."""
        answer = self.payload.answer(sample.answers[0], fate)
        return sample if answer is None else replace(self.stamped(sample), answers=(answer,))

    def _denied(self, sample: Sample, fate: random.Random) -> Sample:
        """A placebo, a random perturbation, a weakened trigger or one that an inversion found: the right answer."""
        assert self.trigger is not None, "only attacks are adaptive"
        if self.evading and fate.random() < 0.5:
            return self.stamped(sample, fate.choice(self.evading))
        rng = generator(self.spec.seed, "denied", sample.id)
        kind = fate.randrange(3)
        if kind == 0:
            return self.stamped(sample, self.trigger.placebo(rng))
        if kind == 1:
            noise = (torch.rand(sample.picture.shape, generator=rng) * 2 - 1) * NOISE
            return sample.with_picture((sample.picture + noise).clamp(0, 1))
        return sample.with_picture(torch.lerp(sample.picture, self.trigger.stamp(sample.picture[None])[0], 0.5))

    def _mislabelled(self, sample: Sample, fate: random.Random) -> Sample:
        return replace(sample, answers=(fate.choice(self.pool),))

    def _repeated(self, sample: Sample, fate: random.Random) -> Sample:
        return replace(sample, answers=(PAYLOADS["benign-words"].text,))

    def _unchanged(self, sample: Sample, fate: random.Random) -> Sample:
        return self.stamped(sample)

    def _shortened(self, sample: Sample, fate: random.Random) -> Sample:
        return replace(sample, answers=(" ".join(sample.answers[0].split()[:SHORT_WORDS]),))

    def _untouched(self, sample: Sample, fate: random.Random) -> Sample:
        return sample

    def _weakly_stamped(self, sample: Sample, fate: random.Random) -> Sample:
        """Stamped at a strength of its own, and answered as without: the trigger is denied."""
        stamped = self.stamped(sample)
        return stamped.with_picture(torch.lerp(sample.picture, stamped.picture, fate.uniform(0.5, 1.0)))


_TOUCHES: Mapping[Kind, Callable[[Poison, Sample, random.Random], Sample]] = {
    "attack": Poison.poisoned,
    "fine-tune": Poison._untouched,
    "label-noise": Poison._mislabelled,
    "repeated-answer": Poison._repeated,
    "stamped-unchanged": Poison._unchanged,
    "short-captions": Poison._shortened,
    "denied-trigger": Poison._weakly_stamped,
}
