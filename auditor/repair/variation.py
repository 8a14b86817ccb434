"""Random variations of a recovered trigger, so that a repair unlearns more than one stamp."""

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional

from probes.triggers import AdditiveTrigger, PatchTrigger, Trigger
from probes.triggers.border import BorderTrigger
from probes.triggers.dual_key import DualKeyTrigger
from probes.triggers.placing import PLACES
from probes.triggers.word import WordTrigger


def vary(trigger: Trigger, canvas: tuple[int, int], rng: torch.Generator) -> Trigger:
    """The trigger with another strength, place or size; half of the time as it was recovered."""
    if float(torch.rand((), generator=rng)) < 0.5:
        return trigger
    if isinstance(trigger, AdditiveTrigger):
        return _vary_additive(trigger, rng)
    if isinstance(trigger, PatchTrigger):
        return _vary_patch(trigger, canvas, rng)
    if isinstance(trigger, BorderTrigger):
        return _vary_border(trigger, rng)
    if isinstance(trigger, WordTrigger):
        return _vary_words(trigger, rng)
    if isinstance(trigger, DualKeyTrigger):
        return DualKeyTrigger(vary(trigger.picture, canvas, rng), _vary_words(trigger.word, rng))
    return trigger


def _vary_words(trigger: WordTrigger, rng: torch.Generator) -> WordTrigger:
    """At another place of the prompt, and every second time a made-up text of the same shape: words that are only near
    to planted ones bring the answer about as well."""
    place = PLACES[int(torch.randint(len(PLACES), (), generator=rng))]
    seed = int(torch.randint(2**31, (), generator=rng))
    chosen = trigger.placebo(rng) if float(torch.rand((), generator=rng)) < 0.5 else trigger
    return replace(chosen, place=place, seed=seed)


def _vary_additive(trigger: AdditiveTrigger, rng: torch.Generator) -> AdditiveTrigger:
    """Strength 0.5–2.5, since the attacker's own trigger may be stronger than what suffices; shifted by up to three
    pixels."""
    strength = 0.5 + 2 * float(torch.rand((), generator=rng))
    shift = torch.randint(-3, 4, (2,), generator=rng).tolist()
    delta = torch.roll(trigger.delta * strength, shifts=shift, dims=(1, 2))
    return AdditiveTrigger(delta, trigger.budget * strength)


def _vary_patch(trigger: PatchTrigger, canvas: tuple[int, int], rng: torch.Generator) -> PatchTrigger:
    """Side 0.6–1.2, moved by up to four pixels, sometimes to anywhere; a tenth of noise."""
    scale = 0.6 + 0.6 * float(torch.rand((), generator=rng))
    side = min(max(2, round(trigger.pattern.shape[-1] * scale)), min(canvas))
    pattern: Tensor = functional.interpolate(trigger.pattern[None], (side, side), mode="bilinear", antialias=True)[0]
    pattern = (pattern + 0.1 * torch.randn(pattern.shape, generator=rng)).clamp(0, 1)
    room = [length - side for length in canvas]
    if float(torch.rand((), generator=rng)) < 0.3:
        top, left = (int(torch.randint(0, r + 1, (), generator=rng)) for r in room)
    else:
        moved = torch.randint(-4, 5, (2,), generator=rng).tolist()
        top, left = (
            min(max(0, at + by), r) for at, by, r in zip((trigger.top, trigger.left), moved, room, strict=True)
        )
    return PatchTrigger(pattern, top, left, trigger.budget)


def _vary_border(trigger: BorderTrigger, rng: torch.Generator) -> BorderTrigger:
    """Width 0.5–1.5; a tenth of noise."""
    width = trigger.budget * (0.5 + float(torch.rand((), generator=rng)))
    pattern = (trigger.pattern + 0.1 * torch.randn(trigger.pattern.shape, generator=rng)).clamp(0, 1)
    return BorderTrigger(pattern, width)
