import math

import pytest
import torch
from torch import Tensor

from auditor.repair.losses import (
    answer_cross_entropy,
    answer_loss,
    distillation,
    entropy_shortfall,
    feature_distance,
    mean_over_rows,
    sight_distance,
    view_divergence,
)
from probes.seeding import generator
from probes.subject import Reading

VOCABULARY = 6
VALID = torch.tensor([[True, True, True], [True, False, False]])


def reading(seed: int, sharp: float = 1.0) -> Reading:
    rng = generator(seed, "reading")
    logits = torch.randn(2, 3, VOCABULARY, generator=rng) * sharp
    return Reading(logits.log_softmax(-1), torch.randn(2, 3, 5, generator=rng), VALID)


def disturbed(found: Reading) -> Reading:
    """The same where it is valid, anything elsewhere."""
    noise = torch.randn(found.log_probs.shape, generator=generator(99)).log_softmax(-1)
    keep = found.valid[..., None]
    return Reading(torch.where(keep, found.log_probs, noise), torch.where(keep, found.features, 7.0), found.valid)


def entropy(found: Reading) -> Tensor:
    return -(found.log_probs.exp() * found.log_probs).sum(-1)


def test_the_mean_runs_over_rows_and_their_valid_positions() -> None:
    values = torch.tensor([[1.0, 2.0, 3.0], [10.0, math.nan, math.inf]])
    assert float(mean_over_rows(values, VALID)) == (2.0 + 10.0) / 2
    assert float(mean_over_rows(values, torch.zeros_like(VALID))) == 0.0


def test_cross_entropy_is_that_of_torch() -> None:
    found = reading(0)
    answers = [(1, 4), ()]
    expected = torch.nn.functional.nll_loss(found.log_probs[0, :2], torch.tensor([1, 4]))
    assert float(answer_cross_entropy(found, answers)) == pytest.approx(float(expected))
    assert float(answer_loss(found, answers)) == pytest.approx(float(expected) / 2)  # of two rows, one without a token


def test_distances_vanish_on_the_same_reading_and_nowhere_else() -> None:
    one, other = reading(1), reading(2)
    for same, apart in (
        (distillation(one.log_probs, one), distillation(one.log_probs, other)),
        (view_divergence(one, one), view_divergence(one, other)),
        (feature_distance(one, one), feature_distance(one, other)),
    ):
        assert float(same) == pytest.approx(0.0, abs=1e-6)
        assert float(apart) > 0.05


def test_distances_keep_their_range() -> None:
    for seed in range(5):
        assert 0 <= float(view_divergence(reading(seed, 30), reading(seed + 50, 30))) <= 1
        assert 0 <= float(feature_distance(reading(seed), reading(seed + 50))) <= 2


def test_positions_past_an_answer_count_for_nothing() -> None:
    one, other = reading(3), reading(4)
    for term in (view_divergence, feature_distance):
        torch.testing.assert_close(term(one, other), term(disturbed(one), disturbed(other)))
    teacher = one.log_probs
    torch.testing.assert_close(distillation(teacher, other), distillation(teacher, disturbed(other)))


def test_a_teacher_may_be_longer_or_shorter() -> None:
    found = reading(5)
    longer = torch.cat([found.log_probs, torch.zeros(2, 4, VOCABULARY)], dim=1)
    assert float(distillation(longer, found)) == pytest.approx(0.0, abs=1e-6)
    assert float(distillation(found.log_probs[:, :2], found)) == pytest.approx(0.0, abs=1e-6)


def test_entropy_falls_short_only_below_its_floor() -> None:
    found = reading(6)
    assert float(entropy_shortfall(found, entropy(found) - 0.1)) == 0.0
    assert float(entropy_shortfall(found, entropy(found) + 0.25)) == pytest.approx(0.25, abs=1e-5)


def test_sight_is_apart_in_units_of_what_was_seen() -> None:
    rng = generator(7, "sight")
    teacher, seen = torch.randn(2, 4, 5, generator=rng), torch.randn(2, 4, 5, generator=rng)
    assert float(sight_distance(teacher, teacher)) == 0.0
    assert float(sight_distance(teacher, torch.zeros_like(teacher))) == pytest.approx(1.0)
    torch.testing.assert_close(sight_distance(teacher * 1e3, seen * 1e3), sight_distance(teacher, seen))
    each = torch.stack([sight_distance(teacher[row : row + 1], seen[row : row + 1]) for row in range(2)])
    torch.testing.assert_close(sight_distance(teacher, seen), each.mean())
