"""The terms that repairs are made of: functions of readings, in nats.

Each is a mean over rows of the row's mean over its valid positions: every sample counts alike, and a batch that is
divided evenly among processes has the same loss.
"""

import torch
from torch import Tensor

from probes.divergence import bounded_kl, kl
from probes.subject import Reading, Tokens, answer_log_probs, mean_log_prob


def mean_over_rows(values: Tensor, valid: Tensor) -> Tensor:
    """(batch, positions) → scalar; a row without a valid position counts as zero."""
    rows = torch.where(valid, values, 0.0).sum(dim=1) / valid.sum(dim=1).clamp_min(1)
    return rows.mean()


def answer_cross_entropy(reading: Reading, answers: list[Tokens]) -> Tensor:
    """Mean negative log-probability of the answers' tokens, over all tokens of the batch: what fine-tuning minimises
    when an attack is planted."""
    return -answer_log_probs(reading, answers).sum() / max(1, sum(map(len, answers)))


def answer_loss(reading: Reading, answers: list[Tokens]) -> Tensor:
    """Mean negative log-probability of an answer's tokens, over rows."""
    return -mean_log_prob(reading, answers).mean()


def distillation(teacher: Tensor, reading: Reading) -> Tensor:
    """KL(teacher ‖ student) over answer positions; `teacher` (batch, positions, vocabulary) log-probabilities."""
    width = min(teacher.shape[1], reading.log_probs.shape[1])
    return mean_over_rows(kl(teacher[:, :width], reading.log_probs[:, :width]), reading.valid[:, :width])


def sight_distance(teacher: Tensor, seen: Tensor) -> Tensor:
    """How far visual embeddings (rows, pieces, width) are from the teacher's: the mean square of their difference, in
    units of the teacher's own mean square."""
    size = teacher.square().mean(dim=(1, 2)).clamp_min(1e-12)
    return ((seen.float() - teacher).square().mean(dim=(1, 2)) / size).mean()


def view_divergence(clean: Reading, view: Reading) -> Tensor:
    """The cross-view term on the output distribution (PCR): bounded KL between the untouched and the disturbed view, in
    [0, 1). The paper pushes it up, so it enters the loss with a minus."""
    return mean_over_rows(bounded_kl(clean.log_probs, view.log_probs), clean.valid)


def feature_distance(clean: Reading, view: Reading) -> Tensor:
    """The cross-view term on the representation (PCR): 1 − cosine of the last hidden states, in [0, 2]."""
    cosine = torch.nn.functional.cosine_similarity(clean.features.float(), view.features.float(), dim=-1)
    return mean_over_rows(1 - cosine, clean.valid)


def entropy_shortfall(reading: Reading, floor: Tensor) -> Tensor:
    """The entropy constraint (PCR): how far the output entropy falls below `floor` (batch, positions), in nats."""
    width = min(floor.shape[1], reading.log_probs.shape[1])
    log_probs = reading.log_probs[:, :width]
    entropy = -(log_probs.exp() * log_probs).sum(dim=-1)
    return mean_over_rows(torch.relu(floor[:, :width] - entropy), reading.valid[:, :width])
