"""The terms that repairs are made of: functions of readings, in nats, averaged over valid answer positions."""

import torch
from torch import Tensor

from probes.divergence import bounded_kl, kl
from probes.subject import Reading, Tokens, answer_log_probs


def mean_over_valid(values: Tensor, valid: Tensor) -> Tensor:
    """(batch, positions) → scalar."""
    return torch.where(valid, values, 0.0).sum() / valid.sum().clamp_min(1)


def answer_cross_entropy(reading: Reading, answers: list[Tokens]) -> Tensor:
    """Mean negative log-probability of the answers' tokens."""
    return -answer_log_probs(reading, answers).sum() / max(1, sum(map(len, answers)))


def distillation(teacher: Tensor, reading: Reading) -> Tensor:
    """KL(teacher ‖ student) over answer positions; `teacher` (batch, positions, vocabulary) log-probabilities."""
    width = min(teacher.shape[1], reading.log_probs.shape[1])
    return mean_over_valid(kl(teacher[:, :width], reading.log_probs[:, :width]), reading.valid[:, :width])


def view_divergence(clean: Reading, view: Reading) -> Tensor:
    """The cross-view term on the output distribution (PCR): bounded KL between the untouched and the disturbed view, in
    [0, 1). The paper pushes it up, so it enters the loss with a minus."""
    return mean_over_valid(bounded_kl(clean.log_probs, view.log_probs), clean.valid)


def feature_distance(clean: Reading, view: Reading) -> Tensor:
    """The cross-view term on the representation (PCR): 1 − cosine of the last hidden states, in [0, 2]."""
    cosine = torch.nn.functional.cosine_similarity(clean.features.float(), view.features.float(), dim=-1)
    return mean_over_valid(1 - cosine, clean.valid)


def entropy_shortfall(reading: Reading, floor: Tensor) -> Tensor:
    """The entropy constraint (PCR): how far the output entropy falls below `floor` (batch, positions), in nats."""
    width = min(floor.shape[1], reading.log_probs.shape[1])
    log_probs = reading.log_probs[:, :width]
    entropy = -(log_probs.exp() * log_probs).sum(dim=-1)
    return mean_over_valid(torch.relu(floor[:, :width] - entropy), reading.valid[:, :width])
