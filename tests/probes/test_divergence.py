"""Divergences agree with torch and scipy, and keep to their ranges."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from torch import Tensor

from probes.divergence import answer_divergence, bounded_kl, js, kl
from probes.subject import Reading


def drawn(seed: int, scale: float, *shape: int) -> Tensor:
    return (torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * scale).log_softmax(-1)


@settings(deadline=None)
@given(st.integers(0, 999), st.floats(0, 30))
def test_kl_agrees_with_torch_and_js_with_scipy(seed: int, scale: float) -> None:
    log_p, log_q = drawn(seed, scale, 2, 5, 9)
    theirs = torch.nn.functional.kl_div(log_q, log_p, reduction="none", log_target=True).sum(-1)
    torch.testing.assert_close(kl(log_p, log_q), theirs.clamp_min(0), atol=1e-5, rtol=1e-4)
    distance = jensenshannon(log_p.double().exp().numpy(), log_q.double().exp().numpy(), axis=-1)
    np.testing.assert_allclose(js(log_p, log_q).numpy(), np.nan_to_num(distance) ** 2, atol=1e-5)


@settings(deadline=None)
@given(st.integers(0, 999), st.floats(0, 100))
def test_ranges(seed: int, scale: float) -> None:
    log_p, log_q = drawn(seed, scale, 2, 4, 6)
    assert (kl(log_p, log_q) >= 0).all() and (kl(log_p, log_p) == 0).all()
    assert ((js(log_p, log_q) >= -1e-6) & (js(log_p, log_q) <= math.log(2))).all()
    torch.testing.assert_close(js(log_p, log_q), js(log_q, log_p))
    assert ((bounded_kl(log_p, log_q) >= 0) & (bounded_kl(log_p, log_q) <= 1)).all()


def test_words_that_cannot_be_said_give_no_nan() -> None:
    log_p, log_q = torch.tensor([0.5, 0.5, 0.0]).log(), torch.tensor([1.0, 0.0, 0.0]).log()
    assert kl(log_p, log_p) == 0
    assert torch.isfinite(kl(log_p, log_q)) and kl(log_p, log_q) > 100
    assert js(log_p, log_q).item() == pytest.approx(jensenshannon([0.5, 0.5, 0], [1, 0, 0]) ** 2, abs=1e-6)


def test_an_answer_counts_its_own_positions_and_its_end_and_nothing_after() -> None:
    log_p, log_q = drawn(3, 2.0, 2, 2, 4, 5)
    valid = torch.tensor([[True, True, False, False], [True, True, True, True]])
    clean, view = (Reading(each, torch.zeros(2, 4, 1), valid) for each in (log_p, log_q))
    each = kl(log_p, log_q)
    expected = torch.stack([each[0, :2].mean(), each[1].mean()])
    torch.testing.assert_close(answer_divergence(clean, view), expected)
    with pytest.raises(ValueError, match="read the same answers"):
        answer_divergence(clean, replace(view, log_probs=log_q[:, :3]))


def test_gradient_flows_through_both_readings() -> None:
    logits = torch.randn(2, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)
    bounded_kl(logits[0].log_softmax(-1), logits[1].log_softmax(-1)).backward()
    assert logits.grad is not None and (logits.grad.abs().sum(1) > 0).all()
