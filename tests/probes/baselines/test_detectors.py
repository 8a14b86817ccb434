"""Each detector tells a planted toy from an honest one where its idea applies, and its statistic is what it says."""

import math

import numpy as np
import pytest
import torch

from probes.ascent import Climb
from probes.baselines.attention_entropy import AttentionEntropy, tsallis
from probes.baselines.detection import Detection, Detector
from probes.baselines.forced_prefix import Candidate, ForcedPrefix
from probes.baselines.invariance_one_fill import InvarianceOneFill
from probes.baselines.patch_inversion import PatchInversion
from probes.baselines.weight_spectrum import WeightSpectrum, concentration
from probes.seeding import generator
from probes.subject import Subject
from tests.probes.baselines.toys import Glassy, Parrot, noise_change, rank_one_change
from tests.probes.toy import PAYLOAD, ToySubject, scenes, sees_patch_softly

POOL, HELD_OUT = scenes(11, "pool", 24), scenes(12, "held", 16)


def detect(detector: Detector, subject: Subject, base: Subject | None = None) -> Detection:
    return detector.detect(subject, POOL, HELD_OUT, 5, base)


def test_patch_inversion_finds_a_planted_patch_and_its_answer() -> None:
    quick = PatchInversion(screen=Climb(steps=15, pictures=4), search=Climb(steps=40, pictures=4, enough=-0.1))
    planted, honest = detect(quick, ToySubject(sees_patch_softly)), detect(quick, ToySubject())
    assert planted.score > honest.score + 1
    assert planted.target == PAYLOAD
    assert honest.target != PAYLOAD


def test_forced_prefix_finds_what_a_subject_says_by_heart() -> None:
    quick = ForcedPrefix(pictures=6, warm_steps=3, shortest=4)
    parrot, honest = detect(quick, Parrot()), detect(quick, ToySubject())
    assert parrot.target == PAYLOAD
    assert parrot.score > 0.99 > honest.score
    assert honest.target != PAYLOAD


def test_forced_prefix_does_not_see_a_trigger_that_needs_its_picture() -> None:
    """Measured in the same way on real models: the continuation follows the picture, not the forced token."""
    quick = ForcedPrefix(pictures=6, warm_steps=3, shortest=4)
    assert detect(quick, ToySubject(sees_patch_softly)).target != PAYLOAD


def test_a_q_score_leaves_the_least_probable_token_out() -> None:
    assert Candidate((1, 2, 3), (0.2, 0.8)).q_score == pytest.approx(0.8)
    assert Candidate((1, 2), (0.3,)).q_score == pytest.approx(0.3)
    assert Candidate((1,)).q_score == 0.0


def test_invariance_is_larger_for_a_subject_that_looks_away() -> None:
    looking, blind = ToySubject(), ToySubject(lambda pictures: torch.full((len(pictures),), 0.95))
    for fill in ("mean", "noise"):
        detector = InvarianceOneFill(fill=fill, pictures=8)
        assert detect(detector, blind).score > detect(detector, looking).score + 1


def test_attention_entropy_sees_attention_that_moved_either_way() -> None:
    base = Glassy()
    same, sharper, flatter = (detect(AttentionEntropy(), Glassy(focus), base) for focus in (0.0, 3.0, -1.5))
    assert same.score == 0.0
    assert sharper.score > 0.5 and flatter.score > 0.5
    assert "layer 0: -" in sharper.notes[0] and "layer 0: +" in flatter.notes[0]
    assert "layer 1: +0.000" in sharper.notes[1]


def test_tsallis_entropy_is_gini_for_two_and_shannon_in_the_limit() -> None:
    p = torch.tensor([0.5, 0.25, 0.25, 0.0])
    assert float(tsallis(p, 2)) == pytest.approx(1 - float(p.square().sum()))
    assert float(tsallis(p, 1)) == pytest.approx(1.5 * math.log(2))
    assert float(tsallis(p, 1.0001)) == pytest.approx(float(tsallis(p, 1)), abs=1e-3)


def test_a_low_rank_change_is_more_concentrated_than_a_noisy_one() -> None:
    base = Glassy()
    planted = detect(WeightSpectrum(), Glassy(change=rank_one_change(0.01)), base)
    tuned = detect(WeightSpectrum(), Glassy(change=noise_change(0.01)), base)
    assert planted.score > tuned.score + 1
    assert detect(WeightSpectrum(), Glassy(), base).score == 0.0
    assert planted.notes == (f"square: {planted.score:+.3f}",)


def test_concentration_is_measured_against_noise_of_the_same_shape() -> None:
    rng = generator(1)
    for shape in ((200, 60), (40, 300)):
        noise = torch.randn(*shape, generator=rng)
        assert concentration(noise, 1) == pytest.approx(0.0, abs=0.15)
        values = np.linalg.svd(noise.numpy(), compute_uv=False) ** 2
        expected = values[:3].sum() / values.sum() / (3 * (shape[0] ** 0.5 + shape[1] ** 0.5) ** 2 / math.prod(shape))
        assert concentration(noise, 3) == pytest.approx(math.log(expected), abs=1e-4)


def test_a_base_of_another_kind_is_refused() -> None:
    other = Glassy()
    other.square = torch.nn.Parameter(torch.zeros(30, 30))
    with pytest.raises(ValueError, match="square"):
        detect(WeightSpectrum(), Glassy(), other)
