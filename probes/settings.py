"""Typed settings of a plug-in: dataclass fields that say what they allow, and the message for what they do not."""

from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, fields
from typing import Any, cast

_KEY = "setting"


@dataclass(frozen=True)
class Setting:
    """What one field allows. Numbers lie in (above, most]; a text is one of `choices`, or any that is not blank."""

    type: type
    above: float = 0.0
    most: float = 0.0
    choices: tuple[str, ...] = ()

    @property
    def expected(self) -> str:
        if self.choices:
            return "one of " + ", ".join(self.choices)
        if self.type is str:
            return "a text that is not blank"
        kind = "a whole number" if self.type is int else "a number"
        return f"{kind} above {self.above:g}, at most {self.most:g}"

    def allows(self, value: object) -> bool:
        if self.type is str:
            return isinstance(value, str) and (value in self.choices if self.choices else bool(value.strip()))
        kinds = (int,) if self.type is int else (int, float)
        # A bool is an int to Python, and NaN fails every comparison.
        return isinstance(value, kinds) and not isinstance(value, bool) and self.above < value <= self.most


def number(above: float, most: float) -> Mapping[str, Setting]:
    """Metadata of a field that holds a number in (above, most]."""
    return {_KEY: Setting(float, above, most)}


def whole(above: int, most: int) -> Mapping[str, Setting]:
    """Metadata of a field that holds a whole number in (above, most]."""
    return {_KEY: Setting(int, above, most)}


def choice(*choices: str) -> Mapping[str, Setting]:
    """Metadata of a field that holds one of these texts."""
    return {_KEY: Setting(str, choices=choices)}


def text() -> Mapping[str, Setting]:
    """Metadata of a field that holds any text that is not blank."""
    return {_KEY: Setting(str)}


def settings_of(plugin: type) -> dict[str, tuple[Setting, object]]:
    """Each setting of a plug-in by name, with its default."""
    return {f.name: (f.metadata[_KEY], f.default) for f in _own(plugin)}


def checked(owner: str, plugin: type, given: Mapping[str, object]) -> dict[str, Any]:
    """The given settings, ready to be handed to the plug-in; ValueError names what was got and what is allowed."""
    known = settings_of(plugin)
    for name, value in given.items():
        if name not in known:
            allowed = ", ".join(known) or "none"
            raise ValueError(f"{owner} has no setting {name!r}; its settings are: {allowed}")
        setting = known[name][0]
        if not setting.allows(value):
            raise ValueError(f"{owner}: {name} is {value!r}; expected {setting.expected}")
    return {name: float(cast(float, v)) if known[name][0].type is float else v for name, v in given.items()}


def _own(plugin: type) -> list[Field[Any]]:
    own = [f for f in fields(plugin) if _KEY in f.metadata]
    assert all(f.default is not MISSING for f in own), f"a setting of {plugin.__name__} has no default"
    return own
