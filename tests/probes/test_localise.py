"""What decides an answer is found, cut out and, only if it is a trigger, carries the answer over."""

import pytest
import torch
from torch import Tensor

from probes.finding import Rate
from probes.localise import (
    Transplant,
    Window,
    cut_out,
    occlusion_map,
    residual,
    transplant,
    transplant_test,
    trigger_window,
)
from probes.triggers import AdditiveTrigger, PatchTrigger
from tests.probes import toy
from tests.probes.toy import PAYLOAD, ToySubject

GRID = (7, 7)


class OneWord(ToySubject):
    """Says the colour of the upper left quadrant alone: an honest answer that can be cut out and moved."""

    def logits(self, pictures: Tensor, places: int) -> Tensor:
        logits = super().logits(pictures, places).clone()
        logits[:, 1:] = -4.0
        logits[:, 1:, toy.END] = 8.0
        return logits


@pytest.mark.parametrize("scale", [1, 2])
def test_occlusion_points_at_the_patch(scale: int) -> None:
    subject, samples = ToySubject(toy.sees_patch), toy.stamped(toy.scenes(0, "s", 4), toy.patched)
    tokens = subject.encode(PAYLOAD)
    maps = torch.stack([occlusion_map(subject, sample, tokens, GRID, window=scale) for sample in samples])
    assert maps.shape == (4, 7, 7)
    assert {int(each.argmax()) for each in maps} == {48}, "the corner"
    assert maps[:, :4, :4].abs().max() < 0.1
    window = trigger_window(maps, subject.canvas)
    assert window is not None
    assert window.top <= toy.PATCH.top + 2 and window.left <= toy.PATCH.left + 2
    assert (window.top + window.height, window.left + window.width) == toy.CANVAS


def test_the_window_is_the_smallest_that_the_samples_agree_on() -> None:
    maps = torch.zeros(3, 7, 7)
    maps[:, 2:4, 5] = 1.0
    maps[0, 0, 0] = 9.0  # one sample's own quirk
    assert trigger_window(maps, (70, 70)) == Window(20, 50, 20, 10)
    assert trigger_window(maps, (70, 70), share=0.5) == Window(20, 50, 10, 10)
    assert trigger_window(torch.zeros(2, 7, 7), (70, 70)) is None
    assert trigger_window(torch.ones(2, 7, 7), (70, 70)) is None


def test_windows_follow_the_grid_of_views_on_odd_canvases() -> None:
    maps = torch.zeros(1, 3, 3)
    maps[0, 1, 2] = 1.0
    assert trigger_window(maps, (10, 11)) == Window(4, 8, 3, 3)


def test_what_is_cut_out_is_put_back_where_it_was() -> None:
    picture, others, window = torch.rand(3, 12, 13), torch.rand(2, 3, 12, 13), Window(2, 5, 4, 3)
    patch = cut_out(picture, window)
    moved = transplant(patch, window, others)
    assert patch.shape == (3, 4, 3)
    assert torch.equal(cut_out(moved, window), patch.expand(2, -1, -1, -1))
    assert int((moved != others).any(1).sum()) == 2 * 4 * 3


def test_the_residual_is_what_the_flagged_have_in_common() -> None:
    source = torch.Generator().manual_seed(0)
    clean, pattern = torch.rand(400, 3, 6, 6, generator=source), torch.rand(3, 6, 6, generator=source)
    found = residual(clean[:200] + 0.3 * pattern, clean[200:])
    torch.testing.assert_close(found.delta, 0.3 * pattern, atol=0.12, rtol=0)
    assert found.budget == pytest.approx(float(found.delta.abs().max()))


def test_a_patch_carries_the_payload_over() -> None:
    subject = ToySubject(toy.sees_patch)
    moved = transplant_test(
        subject, toy.stamped(toy.scenes(1, "s", 6), toy.patched), toy.scenes(1, "r", 30), PAYLOAD, 5
    )
    assert isinstance(moved.trigger, PatchTrigger) and moved.window is not None
    assert moved.hits == Rate(15, 15) and moved.placebo.hits == moved.clean.hits == 0
    assert moved.excess > 0.7 and moved.p_value < 1e-3
    assert moved.trigger.budget < 0.15


def test_a_blended_picture_carries_the_payload_over_as_a_residual() -> None:
    subject = ToySubject(toy.sees_blend)
    flagged = toy.stamped(toy.scenes(2, "s", 12), toy.blended)
    moved = transplant_test(subject, flagged, toy.scenes(2, "r", 40), PAYLOAD, 5)
    assert isinstance(moved.trigger, AdditiveTrigger) and moved.window is None
    assert moved.excess > 0.5 and moved.p_value < 1e-3


def test_honest_content_that_moves_with_its_answer_is_not_confirmed() -> None:
    subject = OneWord()
    samples = toy.scenes(3, "s", 60)
    red = [s for s in samples if subject.respond(s.picture[None], [s.prompt])[0].text == "red"]
    moved = transplant_test(subject, red, toy.scenes(3, "r", 40), "red", 5)
    assert moved.hits.value > 0.5, "the control below means nothing if red does not move"
    assert moved.excess < 0.2 or moved.p_value > 0.05


def test_nothing_to_try_is_no_evidence() -> None:
    nothing = Transplant(residual(torch.rand(1, 3, 4, 4), torch.rand(1, 3, 4, 4)), None, *[Rate(0, 0)] * 4)
    assert nothing.excess == 0 and nothing.p_value == 1.0
    with pytest.raises(ValueError, match="give at least 1 and 4"):
        transplant_test(ToySubject(), toy.scenes(0, "s", 1), toy.scenes(0, "r", 3), PAYLOAD, 0)
