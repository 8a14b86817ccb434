"""How far two answer distributions are apart: pure functions of log-probabilities (…, vocabulary), in nats."""

import math

import torch
from torch import Tensor

from probes.subject import Reading

# Stands for log 0, so that a token that a subject can never say costs a finite amount and 0 · log 0 stays 0.
_LOG_ZERO = -1e4


def kl(log_p: Tensor, log_q: Tensor) -> Tensor:
    """KL(p ‖ q) ≥ 0 over the last dimension, differentiable in both; finite even where q is 0."""
    log_p, log_q = log_p.float().clamp_min(_LOG_ZERO), log_q.float().clamp_min(_LOG_ZERO)
    return (log_p.exp() * (log_p - log_q)).sum(dim=-1).clamp_min(0.0)


def js(log_p: Tensor, log_q: Tensor) -> Tensor:
    """Jensen–Shannon divergence over the last dimension, in [0, log 2], symmetric."""
    middle = torch.logaddexp(log_p.float().clamp_min(_LOG_ZERO), log_q.float().clamp_min(_LOG_ZERO)) - math.log(2)
    return (kl(log_p, middle) + kl(log_q, middle)).div(2).clamp_max(math.log(2))


def bounded_kl(log_p: Tensor, log_q: Tensor) -> Tensor:
    """1 − exp(−KL(p ‖ q)), in [0, 1), so that a repair that pushes views apart cannot gain without end.

    Float32 rounds it to 1 above 17 nats.
    """
    return -torch.expm1(-kl(log_p, log_q))


def answer_divergence(clean: Reading, view: Reading) -> Tensor:
    """KL(p(·|picture) ‖ p(·|view)) averaged over the valid positions of each answer, its end included: (batch,).

    Both readings must be of the same answers in the same order; raises ValueError when their shapes differ.
    """
    if clean.log_probs.shape != view.log_probs.shape:
        shapes = f"{tuple(clean.log_probs.shape)} against {tuple(view.log_probs.shape)}"
        raise ValueError(f"readings of shape {shapes}; read the same answers to the picture and to its view")
    valid = clean.valid.to(torch.float32)  # (batch, T + 1)
    each = torch.where(clean.valid, kl(clean.log_probs, view.log_probs), 0.0)
    return each.sum(dim=1) / valid.sum(dim=1)
