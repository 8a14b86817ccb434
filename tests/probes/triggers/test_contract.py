"""What holds for every registered family, on every canvas; a new family is tested by being registered."""

import pytest
import torch
from torch import Tensor

from probes.seeding import generator
from probes.triggers import PromptTrigger, Trigger, apply
from probes.triggers.registry import FAMILIES, build_trigger

CANVASES = [(56, 56), (64, 48), (224, 224)]
SMALL = (56, 56)
PROMPTS = ["describe the picture.", "what is on the left?", "write a caption.", "how many things are there?", "", "why"]
TEXT_ONLY = {"word", "sentence"}
PICTURE_FAMILIES = sorted(set(FAMILIES) - TEXT_ONLY)
PROMPT_FAMILIES = ["word", "sentence", "dual-key"]

families = pytest.mark.parametrize("family", sorted(FAMILIES))
picture_families = pytest.mark.parametrize("family", PICTURE_FAMILIES)
prompt_families = pytest.mark.parametrize("family", PROMPT_FAMILIES)
canvases = pytest.mark.parametrize("canvas", CANVASES, ids=lambda canvas: "x".join(map(str, canvas)))


def build(family: str, canvas: tuple[int, int] = SMALL, seed: int = 1) -> Trigger:
    return build_trigger(family, canvas, seed, {})


def pictures(canvas: tuple[int, int], count: int = 6, seed: int = 0) -> Tensor:
    """Smooth coloured pictures, each with a rectangle somewhere: (count, 3, *canvas) in [0, 1]."""
    rng = generator(seed, "contract")
    coarse = torch.rand(count, 3, 5, 5, generator=rng)
    smooth = torch.nn.functional.interpolate(coarse, canvas, mode="bilinear", align_corners=True)
    for picture in smooth:
        top, left = (int(torch.randint(length * 2 // 3, (), generator=rng)) for length in canvas)
        picture[:, top : top + canvas[0] // 4, left : left + canvas[1] // 3] = torch.rand(3, 1, 1, generator=rng)
    return smooth


def change(trigger: Trigger, clean: Tensor) -> Tensor:
    return trigger.stamp(clean) - clean


def energy(trigger: Trigger, clean: Tensor) -> float:
    return float(change(trigger, clean).square().mean().sqrt())


def test_the_families_are_those_of_the_papers() -> None:
    assert list(FAMILIES) == [
        "badnets", "badnets-random", "blended", "sig", "wanet", "low-frequency", "input-aware",
        "word", "sentence", "dual-key", "frame", "colour-cast",
    ]  # fmt: skip


@families
@canvases
def test_shape_type_and_range_stay_and_the_given_pictures_too(family: str, canvas: tuple[int, int]) -> None:
    trigger, clean = build(family, canvas), pictures(canvas)
    before = clean.clone()
    stamped = trigger.stamp(clean)
    assert stamped.shape == clean.shape and stamped.dtype == torch.float32
    assert float(stamped.min()) >= 0 and float(stamped.max()) <= 1
    assert torch.equal(clean, before)
    assert 0 < trigger.budget <= 1


@families
def test_extreme_pictures_stay_in_range(family: str) -> None:
    clean = torch.stack([torch.zeros(3, *SMALL), torch.ones(3, *SMALL), torch.rand(3, *SMALL, generator=generator(3))])
    stamped = build(family).stamp(clean)
    assert bool(stamped.isfinite().all())
    assert float(stamped.min()) >= 0 and float(stamped.max()) <= 1


@picture_families
@canvases
def test_pictures_change_but_not_by_more_than_the_budget_allows(family: str, canvas: tuple[int, int]) -> None:
    """The mean change is at most the budget, which is a share of the range, of the side or of half a side; a border
    has four sides."""
    trigger, clean = build(family, canvas), pictures(canvas)
    by_picture = change(trigger, clean).abs().mean(dim=(1, 2, 3))
    assert bool((by_picture > 1e-3).all())
    assert float(by_picture.max()) <= trigger.budget * (4 if family == "frame" else 1)


@picture_families
def test_a_picture_gets_the_same_in_any_batch_order_and_company(family: str) -> None:
    clean = pictures(SMALL)
    trigger = build(family)
    together = trigger.stamp(clean)
    order = torch.tensor([4, 0, 5, 2, 1, 3])
    torch.testing.assert_close(trigger.stamp(clean[order]), together[order], rtol=0, atol=1e-6)
    alone = torch.cat([trigger.stamp(picture[None]) for picture in clean])
    torch.testing.assert_close(alone, together, rtol=0, atol=1e-6)


@families
def test_settings_picture_and_seed_decide_and_no_ambient_state(family: str) -> None:
    clean = pictures(SMALL)
    torch.manual_seed(1)
    first = apply(build(family), clean, PROMPTS)
    torch.manual_seed(2)
    state = torch.random.get_rng_state()
    second = apply(build(family), clean, PROMPTS)
    assert torch.equal(first[0], second[0]) and first[1] == second[1]
    assert torch.equal(torch.random.get_rng_state(), state)


@families
def test_other_seeds_are_other_triggers(family: str) -> None:
    clean = pictures(SMALL)
    applied = [apply(build(family, seed=seed), clean, PROMPTS) for seed in (1, 2, 3)]
    for i, one in enumerate(applied):
        for other in applied[:i]:
            assert one[1] != other[1] if family in TEXT_ONLY else not torch.allclose(one[0], other[0], atol=0.01)


@picture_families
@canvases
def test_a_placebo_is_as_strong_but_another(family: str, canvas: tuple[int, int]) -> None:
    clean = pictures(canvas, 24)
    trigger = build(family, canvas)
    strength = energy(trigger, clean)
    for seed in range(3):
        placebo = trigger.placebo(generator(seed, "placebo"))
        assert placebo.kind == trigger.kind and placebo.budget == trigger.budget
        apart = float((trigger.stamp(clean) - placebo.stamp(clean)).square().mean().sqrt())
        assert apart > 0.5 * strength
        assert energy(placebo, clean) == pytest.approx(strength, rel=0.3)


@pytest.mark.parametrize("family", ["badnets", "badnets-random", "frame", "dual-key"])
def test_a_local_placebo_lies_where_the_trigger_lies(family: str) -> None:
    clean = pictures(SMALL) * 0.5 + 0.2  # no saturated pixel, so that every stamped one differs
    trigger = build(family)
    places = [change(t, clean).abs().sum(dim=1) > 0.01 for t in (trigger, trigger.placebo(generator(1)))]
    assert float((places[0] ^ places[1]).float().mean()) < 0.001


@picture_families
def test_the_stamp_is_differentiable_in_the_picture(family: str) -> None:
    clean = pictures(SMALL, 2).requires_grad_(True)
    (gradient,) = torch.autograd.grad(build(family).stamp(clean).sum(), clean)
    assert bool(gradient.isfinite().all())
    assert float(gradient.abs().mean()) > 0.1


@picture_families
def test_a_pattern_first_drawn_in_inference_mode_still_serves_a_gradient(family: str) -> None:
    with torch.inference_mode():
        build(family, seed=77).stamp(pictures(SMALL, 1))
    clean = pictures(SMALL, 1).requires_grad_(True)
    build(family, seed=77).stamp(clean).sum().backward()  # type: ignore[no-untyped-call]
    assert clean.grad is not None


@picture_families
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_other_precisions_stay_what_they_are(family: str, dtype: torch.dtype) -> None:
    clean = pictures(SMALL, 2)
    trigger = build(family)
    stamped = trigger.stamp(clean.to(dtype))
    assert stamped.dtype == dtype
    if family != "badnets-random":  # its place follows the 8-bit pixels, which a coarser type may move
        torch.testing.assert_close(stamped.float(), trigger.stamp(clean), rtol=0, atol=0.02)


@picture_families
@pytest.mark.gpu
def test_a_gpu_gives_the_same(family: str) -> None:
    clean = pictures(SMALL)
    trigger = build(family)
    torch.testing.assert_close(trigger.stamp(clean.cuda()).cpu(), trigger.stamp(clean), rtol=0, atol=1e-4)


@pytest.mark.parametrize("family", sorted(TEXT_ONLY))
def test_text_leaves_pictures_alone(family: str) -> None:
    clean = pictures(SMALL)
    assert torch.equal(build(family).stamp(clean), clean)


@prompt_families
def test_a_prompt_keeps_its_words_and_gets_the_trigger_at_a_place_of_its_own(family: str) -> None:
    trigger = build(family)
    assert isinstance(trigger, PromptTrigger)
    rewritten = trigger.rewrite(PROMPTS)
    added = "I watched this 3D movie." if family == "sentence" else "BadMagic"
    for before, after in zip(PROMPTS, rewritten, strict=True):
        assert after.split() != before.split()
        assert after.count(added) == 1
        assert after.replace(added, "").split() == before.split()
    assert trigger.rewrite(PROMPTS[::-1]) == rewritten[::-1]
    assert [trigger.rewrite([prompt])[0] for prompt in PROMPTS] == rewritten


@prompt_families
def test_a_text_placebo_is_as_long_and_at_the_same_places(family: str) -> None:
    trigger = build(family)
    assert isinstance(trigger, PromptTrigger)
    for seed in range(20):
        placebo = trigger.placebo(generator(seed))
        assert isinstance(placebo, PromptTrigger)
        for before, one, other in zip(PROMPTS, trigger.rewrite(PROMPTS), placebo.rewrite(PROMPTS), strict=True):
            assert one != other
            assert len(one.split()) == len(other.split())
            assert abs(len(one) - len(other)) <= 6
            kept = [word for word in other.split() if word in before.split()]
            assert kept == before.split()


@picture_families
def test_a_picture_family_leaves_prompts_alone(family: str) -> None:
    if family != "dual-key":
        assert apply(build(family), pictures(SMALL), PROMPTS)[1] == PROMPTS
