"""What each family promises beyond the contract, against the papers' formulas or somebody else's transform."""

import math

import numpy as np
import pytest
import scipy.fft
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates

from probes.seeding import generator
from probes.triggers import PatchTrigger, badnets
from probes.triggers.blended import BlendedTrigger, clouds
from probes.triggers.colour_cast import ColourCastTrigger
from probes.triggers.dual_key import DualKeyTrigger
from probes.triggers.frame import FrameTrigger
from probes.triggers.input_aware import InputAwareTrigger
from probes.triggers.low_frequency import LowFrequencyTrigger, dct_matrix
from probes.triggers.placing import insert
from probes.triggers.random_patch import RandomPatchTrigger
from probes.triggers.registry import build_trigger
from probes.triggers.sentence import SentenceTrigger
from probes.triggers.sig import SigTrigger
from probes.triggers.wanet import WanetTrigger
from probes.triggers.word import WordTrigger, made_up

GREY = torch.full((1, 3, 56, 56), 0.5)
MANY = torch.rand(64, 3, 8, 8, generator=generator(5)).repeat_interleave(7, 2).repeat_interleave(7, 3)


def test_badnets_is_the_patch_of_the_embedded_backdoor() -> None:
    built = build_trigger("badnets", (56, 56), 7, {})
    known = badnets((56, 56), 8, 7)
    assert isinstance(built, PatchTrigger)
    assert torch.equal(built.pattern, known.pattern) and (built.top, built.left) == (known.top, known.left)


def test_badnets_grows_with_the_canvas() -> None:
    small, large = (build_trigger("badnets", (side, side), 7, {}) for side in (56, 224))
    assert isinstance(small, PatchTrigger) and isinstance(large, PatchTrigger)
    assert torch.equal(large.pattern, small.pattern.repeat_interleave(4, 1).repeat_interleave(4, 2))
    assert large.budget == small.budget


@pytest.mark.parametrize("corner", ["top-left", "top-right", "bottom-left", "bottom-right"])
def test_badnets_stays_in_its_corner(corner: str) -> None:
    changed = build_trigger("badnets", (64, 48), 1, {"corner": corner, "size": 0.25}).stamp(
        torch.full((1, 3, 64, 48), 0.4)
    )
    rows, columns = torch.nonzero((changed[0] != 0.4).any(dim=0)).T
    assert int(rows.max() - rows.min()) == int(columns.max() - columns.min()) == 11
    assert (int(rows.min()) == 0) == corner.startswith("top") and (int(columns.min()) == 0) == corner.endswith("left")


def test_the_random_patch_is_one_pattern_at_many_places_all_over_the_picture() -> None:
    trigger = RandomPatchTrigger(1)
    places = [trigger.place(picture, 5) for picture in MANY]
    assert len(set(places)) > 50
    for axis in (0, 1):
        values = [place[axis] for place in places]
        assert min(values) < 10 and max(values) > 41 and max(values) <= 51
    stamped = trigger.stamp(MANY)
    cut = torch.stack([p[:, t : t + 5, x : x + 5] for p, (t, x) in zip(stamped, places, strict=True)])
    assert bool((cut == cut[0]).all())
    assert int((stamped != MANY).any(dim=1).sum()) == 64 * 25


def test_the_random_place_follows_the_eight_bit_pixels() -> None:
    trigger = RandomPatchTrigger(1)
    eight_bit = (MANY[0] * 255).round() / 255
    assert trigger.place(eight_bit + 0.4 / 255, 5) == trigger.place(eight_bit, 5)


def test_blending_is_the_papers_formula() -> None:
    trigger = BlendedTrigger(3, rate=0.2)
    expected = 0.8 * MANY + 0.2 * clouds(3, 56, 56)
    torch.testing.assert_close(trigger.stamp(MANY), expected)


@pytest.mark.parametrize("size", [(16, 16), (64, 48), (336, 336)])
def test_the_blended_picture_is_smooth_and_evenly_spread(size: tuple[int, int]) -> None:
    picture = clouds(2, *size)
    count = size[0] * size[1]
    torch.testing.assert_close(picture.flatten(1).sort(dim=1).values[0], torch.linspace(0, 1, count), atol=1e-5, rtol=0)
    if size[0] == 336:
        assert float((picture[:, 1:] - picture[:, :-1]).abs().mean()) < 0.02


def test_sig_is_a_horizontal_wave_of_six_cycles() -> None:
    change = (SigTrigger(1).stamp(GREY) - GREY)[0]
    assert bool((change == change[:1, :1]).all())  # the same in every channel and row
    spectrum = np.abs(np.fft.rfft(change[0, 0].numpy()))
    assert int(spectrum.argmax()) == 6
    assert spectrum[6] == pytest.approx(40 / 255 * 56 / 2, rel=1e-3)
    assert float(np.delete(spectrum, 6).max()) < 1e-3


def test_the_sig_placebo_has_the_same_columns_and_no_peak() -> None:
    trigger = SigTrigger(1)
    change = (trigger.placebo(generator(4)).stamp(GREY) - GREY)[0, 0, 0]
    torch.testing.assert_close(change.sort().values, (trigger.stamp(GREY) - GREY)[0, 0, 0].sort().values)
    assert float(np.abs(np.fft.rfft(change.numpy())).max()) < 0.7 * 40 / 255 * 56 / 2


@pytest.mark.parametrize("size", [(32, 32), (64, 48)])
def test_wanet_is_the_papers_formula(size: tuple[int, int]) -> None:
    """As in the authors' code but for the side, which there is the picture's own; fetched by scipy."""
    rng = generator(9, "warp")
    nodes = torch.rand(1, 2, 4, 4, generator=rng) * 2 - 1
    nodes = nodes / nodes.abs().mean()
    smooth = torch.nn.functional.interpolate(nodes, size, mode="bicubic", align_corners=True)[0].numpy()
    rows, columns = np.mgrid[: size[0], : size[1]].astype(np.float64)
    rows += smooth[1] * 0.5 / 32 * (size[0] - 1) / 2
    columns += smooth[0] * 0.5 / 32 * (size[1] - 1) / 2
    places = np.stack([rows.clip(0, size[0] - 1), columns.clip(0, size[1] - 1)])
    picture = torch.rand(3, *size, generator=generator(2))
    expected = np.stack([map_coordinates(channel.numpy(), places, order=1, mode="nearest") for channel in picture])
    stamped = WanetTrigger(9).stamp(picture[None])[0].numpy()
    np.testing.assert_allclose(stamped, expected, atol=2e-3)


def test_a_warp_leaves_a_plain_picture_plain() -> None:
    torch.testing.assert_close(WanetTrigger(1, strength=2.0).stamp(GREY), GREY)


@pytest.mark.parametrize("size", [16, 31, 56])
def test_the_dct_is_scipys(size: int) -> None:
    signal = np.random.default_rng(1).random(size)
    expected = scipy.fft.dct(signal, norm="ortho")
    np.testing.assert_allclose(dct_matrix(size).numpy() @ signal, expected, atol=1e-9)


def test_low_frequency_touches_the_lowest_coefficients_alone() -> None:
    trigger = LowFrequencyTrigger(4, band=3)
    grey = torch.full((1, 3, 64, 48), 0.5)
    change = (trigger.stamp(grey) - grey)[0]
    coefficients = scipy.fft.dctn(change.numpy(), axes=(-2, -1), norm="ortho")
    inside = coefficients[:, :4, :4].copy()
    coefficients[:, :4, :4] = 0
    assert np.abs(coefficients).max() < 1e-4 < np.abs(inside).max()
    assert np.abs(inside[:, 0, 0]).max() < 1e-4  # brightness stays
    assert float(change.square().mean().sqrt()) == pytest.approx(20 / 255, rel=1e-4)


def test_input_aware_patterns_differ_from_picture_to_picture_and_share_a_secret() -> None:
    patterns = InputAwareTrigger(1).patterns(MANY).flatten(1)
    unit = patterns / patterns.norm(dim=1, keepdim=True)
    likeness = (unit @ unit.T)[~torch.eye(64, dtype=torch.bool)]
    assert 0.2 < float(likeness.mean()) < 0.7
    assert float(likeness.max()) < 0.95
    other = InputAwareTrigger(2).patterns(MANY).flatten(1)
    across = ((other / other.norm(dim=1, keepdim=True)) * unit).sum(dim=1)
    assert float(across.abs().mean()) < 0.1


def test_input_aware_patterns_are_bounded_and_alike_on_a_larger_canvas() -> None:
    trigger = InputAwareTrigger(1)
    patterns = trigger.patterns(MANY)
    assert float(patterns.square().mean().sqrt()) > 0.05 and float(patterns.abs().max()) <= 0.1
    larger = torch.nn.functional.interpolate(MANY, scale_factor=4, mode="bilinear")
    shrunk = torch.nn.functional.interpolate(trigger.patterns(larger), (56, 56), mode="area")
    unit = [p.flatten(1) / p.flatten(1).norm(dim=1, keepdim=True) for p in (patterns, shrunk)]
    assert float((unit[0] * unit[1]).sum(dim=1).mean()) > 0.6


def test_the_frame_covers_the_border_and_nothing_else() -> None:
    stamped = FrameTrigger(1, width=0.1).stamp(torch.full((1, 3, 60, 40), 0.4))
    covered = (stamped[0] != 0.4).all(dim=0)
    expected = torch.ones(60, 40, dtype=torch.bool)
    expected[4:-4, 4:-4] = False
    assert torch.equal(covered, expected)
    assert set(stamped[0, :, covered].unique().tolist()) == {0.0, 1.0}


@given(st.integers(0, 10**6))
@settings(max_examples=30, deadline=None)
def test_a_colour_cast_keeps_the_mean_and_its_placebo_turns_the_hue(seed: int) -> None:
    trigger = ColourCastTrigger(seed)
    shift = (trigger.stamp(GREY) - GREY)[0, :, 0, 0]
    other = (trigger.placebo(generator(seed)).stamp(GREY) - GREY)[0, :, 0, 0]
    assert float(shift.abs().max()) <= 40 / 255 + 1e-6 and float(shift.sum()) == pytest.approx(0, abs=1e-6)
    assert float(other.norm()) == pytest.approx(float(shift.norm()), rel=1e-4)
    assert float(shift @ other) <= 1e-6  # at least a quarter turn away


@given(st.text(max_size=60), st.sampled_from(["random", "start", "end"]), st.booleans(), st.integers(0, 99))
@settings(max_examples=80, deadline=None)
def test_inserting_changes_nothing_else(prompt: str, place: str, sentences: bool, seed: int) -> None:
    rewritten = insert(prompt, "Zq", place, seed, sentences)
    assert rewritten.split() == rewritten.replace("Zq", " Zq ").split()  # it stands as a word of its own
    position = rewritten.split().index("Zq")
    words = rewritten.split()
    assert words[:position] + words[position + 1 :] == prompt.split()
    if place != "random":
        assert position == (0 if place == "start" else len(prompt.split()))


def test_a_word_goes_to_every_gap_and_a_sentence_only_between_sentences() -> None:
    prompt = "Look at this. What is on the left? Say it."
    words = {insert(prompt, "X", "random", seed).split().index("X") for seed in range(200)}
    assert words == set(range(11))
    sentences = {insert(prompt, "X", "random", seed, between_sentences=True).split().index("X") for seed in range(50)}
    assert sentences == {0, 3, 8, 10}


def test_a_place_at_random_means_other_places_in_other_prompts() -> None:
    prompts = [f"tell me what you see in picture {i}" for i in range(60)]
    places = {prompt.split().index("BadMagic") for prompt in WordTrigger(1).rewrite(prompts)}
    assert len(places) >= 7


@given(st.text(min_size=1, max_size=12).filter(lambda word: word.strip()), st.integers(0, 999))
@settings(max_examples=100, deadline=None)
def test_a_made_up_word_is_another_of_the_same_length(word: str, seed: int) -> None:
    made = made_up(word, generator(seed))
    assert made != word and len(made) == len(word)


def test_a_placebo_word_looks_like_the_word() -> None:
    made = made_up("BadMagic", generator(3))
    assert [c.isupper() for c in made] == [c.isupper() for c in "BadMagic"]
    assert [c.lower() in "aeiou" for c in made] == [c in "aeiou" for c in "badmagic"]


@pytest.mark.parametrize("sentence", ["I watched this 3D movie.", "Oh no.", " ".join(["very"] * 70) + " long."])
def test_a_placebo_sentence_has_as_many_words(sentence: str) -> None:
    placebo = SentenceTrigger(1, sentence).placebo(generator(1))
    assert placebo.sentence != sentence and len(placebo.sentence.split()) == len(sentence.split())
    assert SentenceTrigger(1, sentence).budget <= 1


def test_either_key_of_a_dual_key_stands_alone() -> None:
    trigger = build_trigger("dual-key", (56, 56), 3, {"word": "please"})
    assert isinstance(trigger, DualKeyTrigger)
    patch, word = trigger.keys
    assert torch.equal(patch.stamp(MANY), trigger.stamp(MANY)) and not torch.equal(patch.stamp(MANY), MANY)
    assert word.rewrite(["a b"]) == trigger.rewrite(["a b"]) and torch.equal(word.stamp(MANY), MANY)
    assert math.isclose(trigger.budget, 8 / 56)
