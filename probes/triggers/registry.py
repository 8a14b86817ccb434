"""Every family of trigger by name: its settings with their defaults, and how one is built."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from probes.settings import Setting, checked, settings_of
from probes.triggers import Trigger
from probes.triggers.blended import BlendedTrigger
from probes.triggers.colour_cast import ColourCastTrigger
from probes.triggers.dual_key import DualKey
from probes.triggers.frame import FrameTrigger
from probes.triggers.input_aware import InputAwareTrigger
from probes.triggers.low_frequency import LowFrequencyTrigger
from probes.triggers.patch import BadNets
from probes.triggers.random_patch import RandomPatchTrigger
from probes.triggers.sentence import SentenceTrigger
from probes.triggers.sig import SigTrigger
from probes.triggers.wanet import WanetTrigger
from probes.triggers.word import WordTrigger

SMALLEST_SIDE = 16
"""Pictures below this many pixels have no room for the families' constants."""

Canvas = tuple[int, int]


@dataclass(frozen=True)
class Family:
    """`settings` is the dataclass whose fields are the family's settings; `build` gets those that were given."""

    name: str
    settings: type
    build: Callable[[Canvas, int, dict[str, Any]], Trigger]

    @property
    def about(self) -> str:
        """What its file is for."""
        return (sys.modules[self.settings.__module__].__doc__ or "").splitlines()[0]

    @property
    def defaults(self) -> dict[str, tuple[Setting, object]]:
        """Each setting by name: what it allows, and its default."""
        return settings_of(self.settings)


def _seeded(trigger: type[Any]) -> Family:
    """A family whose trigger is drawn from its seed at whatever size the picture has."""
    return Family(trigger.kind, trigger, lambda canvas, seed, given: trigger(seed=seed, **given))


FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        family.name: family
        for family in (
            Family("badnets", BadNets, lambda canvas, seed, given: BadNets(**given).build(canvas, seed)),
            _seeded(RandomPatchTrigger),
            _seeded(BlendedTrigger),
            _seeded(SigTrigger),
            _seeded(WanetTrigger),
            _seeded(LowFrequencyTrigger),
            _seeded(InputAwareTrigger),
            _seeded(WordTrigger),
            _seeded(SentenceTrigger),
            Family("dual-key", DualKey, lambda canvas, seed, given: DualKey(**given).build(canvas, seed)),
            _seeded(FrameTrigger),
            _seeded(ColourCastTrigger),
        )
    }
)


def build_trigger(family: str, canvas: Canvas, seed: int, settings: Mapping[str, object]) -> Trigger:
    """The trigger of a family for pictures of `canvas` (height, width) pixels.

    ValueError for an unknown family or setting, or a value of another type or range, says what was got and is allowed.
    """
    if family not in FAMILIES:
        raise ValueError(f"no trigger family is called {family!r}; the families are: {', '.join(FAMILIES)}")
    if min(canvas) < SMALLEST_SIDE:
        raise ValueError(f"the canvas is {canvas[0]} × {canvas[1]} pixels; expected at least {SMALLEST_SIDE} a side")
    chosen = FAMILIES[family]
    return chosen.build(canvas, seed, checked(f"trigger family {family}", chosen.settings, settings))


Numbers = dict[str, int | float | str | None]


def numbers_of(trigger: Trigger) -> Numbers:
    """What `from_numbers` makes the same trigger of; TypeError for a trigger that is more than settings and seeds."""
    family = FAMILIES.get(trigger.kind)
    if family is None or type(trigger) is not family.settings:
        raise TypeError(
            f"a {trigger.kind} trigger holds values of its own; only settings and seeds can be written down"
        )
    return {name: value for name, value in vars(trigger).items() if name != "kind"}


def from_numbers(kind: str, numbers: Mapping[str, object]) -> Trigger:
    """The trigger, or a placebo of it, that `numbers_of` wrote down; ValueError or TypeError for anything else."""
    family = FAMILIES.get(kind)
    if family is None or not hasattr(family.settings, "stamp"):
        raise ValueError(f"kind {kind!r} is not made of settings and seeds")
    settings = {name: value for name, value in dict(numbers).items() if name in family.defaults}
    seeds = {name: value for name, value in dict(numbers).items() if name not in settings}
    if not all(value is None or type(value) in (int, float) for value in seeds.values()):
        raise ValueError(f"a seed is no number: {seeds}")
    trigger: Trigger = family.settings(**checked(f"trigger family {kind}", family.settings, settings), **seeds)
    return trigger
