"""Building a trigger from a name and settings, and what is said about settings that do not fit."""

import pytest
import torch

from probes.settings import Setting
from probes.triggers.registry import FAMILIES, build_trigger


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_defaults_are_allowed_and_may_be_given(family: str) -> None:
    defaults = FAMILIES[family].defaults
    assert all(setting.allows(default) for setting, default in defaults.values())
    given = build_trigger(family, (64, 48), 5, {name: default for name, (_, default) in defaults.items()})
    bare = build_trigger(family, (64, 48), 5, {})
    pictures = torch.full((1, 3, 64, 48), 0.5)
    assert torch.equal(given.stamp(pictures), bare.stamp(pictures)) and given.budget == bare.budget
    assert FAMILIES[family].about


def test_a_whole_number_serves_where_a_number_is_wanted() -> None:
    assert build_trigger("wanet", (56, 56), 1, {"strength": 2}).budget == pytest.approx(2 / 32)


def test_a_stronger_setting_is_a_stronger_trigger() -> None:
    pictures = torch.rand(4, 3, 56, 56, generator=torch.Generator().manual_seed(1)) * 0.5 + 0.25
    for family, name, values in [
        ("badnets", "size", (0.1, 0.3)), ("badnets-random", "size", (0.1, 0.3)), ("blended", "rate", (0.05, 0.3)),
        ("sig", "amplitude", (0.02, 0.1)), ("wanet", "strength", (0.1, 4)), ("low-frequency", "strength", (0.02, 0.2)),
        ("input-aware", "amplitude", (0.02, 0.1)), ("frame", "width", (0.02, 0.2)), ("dual-key", "size", (0.1, 0.3)),
        ("colour-cast", "strength", (0.05, 0.2)),
    ]:  # fmt: skip
        weak, strong = (build_trigger(family, (56, 56), 1, {name: value}) for value in values)
        change = [float((trigger.stamp(pictures) - pictures).abs().mean()) for trigger in (weak, strong)]
        assert change[0] < change[1] and weak.budget < strong.budget, family


@pytest.mark.parametrize(
    ("family", "settings", "said"),
    [
        ("badnet", {}, ["'badnet'", "badnets, badnets-random, blended"]),
        ("sig", {"frequency": 6}, ["sig", "'frequency'", "amplitude, cycles"]),
        ("sig", {"seed": 6}, ["'seed'"]),
        ("sig", {"kind": "x"}, ["'kind'"]),
        ("blended", {"rate": 1.5}, ["rate is 1.5", "above 0, at most 1"]),
        ("blended", {"rate": 0}, ["rate is 0"]),
        ("blended", {"rate": float("nan")}, ["rate is nan"]),
        ("blended", {"rate": "0.2"}, ["rate is '0.2'", "a number"]),
        ("blended", {"rate": True}, ["rate is True"]),
        ("blended", {"rate": None}, ["rate is None"]),
        ("wanet", {"nodes": 4.0}, ["nodes is 4.0", "a whole number above 1, at most 32"]),
        ("badnets", {"corner": "middle"}, ["corner is 'middle'", "top-left, top-right, bottom-left, bottom-right"]),
        ("word", {"word": "  "}, ["word is '  '", "not blank"]),
        ("word", {"word": 3}, ["word is 3"]),
        ("dual-key", {"place": "left"}, ["place is 'left'", "random, start, end"]),
    ],
)
def test_what_does_not_fit_is_named_with_what_is_allowed(
    family: str, settings: dict[str, object], said: list[str]
) -> None:
    with pytest.raises(ValueError) as error:
        build_trigger(family, (56, 56), 1, settings)
    assert all(part in str(error.value) for part in said), str(error.value)


def test_a_canvas_without_room_is_refused() -> None:
    with pytest.raises(ValueError, match="8 × 56"):
        build_trigger("sig", (8, 56), 1, {})
    build_trigger("sig", (16, 16), 1, {})


@pytest.mark.parametrize("family", sorted(FAMILIES))
@pytest.mark.parametrize("side", [16, 17])
def test_the_smallest_canvas_works(family: str, side: int) -> None:
    pictures = torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(1))
    trigger = build_trigger(family, (side, side), 1, {})
    for one in (trigger, trigger.placebo(torch.Generator().manual_seed(2))):
        assert one.stamp(pictures).shape == pictures.shape


def test_a_setting_says_what_it_expects() -> None:
    assert Setting(str).expected == "a text that is not blank"
    assert Setting(int, 1, 4).expected == "a whole number above 1, at most 4"
