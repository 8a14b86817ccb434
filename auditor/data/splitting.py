"""Splits that share no picture, whatever the samples are called."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from itertools import accumulate

import torch
from torch import Tensor

from auditor.errors import DataError, UsageError
from probes.sample import Sample
from probes.seeding import derive_seed


def picture_digest(picture: Tensor) -> str:
    """The SHA-256 of the shape and the 8-bit pixels of a picture (3, h, w) in [0, 1]; survives a PNG and back."""
    pixels = (picture.detach().cpu() * 255).round().clamp(0, 255).to(torch.uint8).contiguous()
    return hashlib.sha256(repr(tuple(pixels.shape)).encode() + pixels.numpy().tobytes()).hexdigest()


def split_by_pixels(
    samples: Sequence[Sample], shares: Mapping[str, float] | Mapping[str, int], seed: int
) -> dict[str, list[Sample]]:
    """Named parts that share no picture; the samples of one picture stay together.

    `shares` are all floats, the shares of the pictures (sum at most 1), or all integers, numbers of pictures; what they
    leave over is in no part. Depends on seed and pixels alone, never on the order of the samples. Equal means equal
    pixels: a scaled or recompressed copy counts as another picture. Raises UsageError for impossible shares, DataError
    where there are too few pictures to give every part one.
    """
    groups: dict[str, list[Sample]] = {}
    for sample in samples:
        groups.setdefault(picture_digest(sample.picture), []).append(sample)
    ranked = sorted(groups, key=lambda digest: (derive_seed(seed, "split", digest), digest))
    parts, start = {}, 0
    for name, end in zip(shares, _ends(shares, len(ranked)), strict=True):
        chosen = [sample for digest in ranked[start:end] for sample in sorted(groups[digest], key=lambda s: s.id)]
        parts[name], start = chosen, end
    return parts


def _ends(shares: Mapping[str, float] | Mapping[str, int], pictures: int) -> list[int]:
    """Where each part ends in the ranking of the pictures."""
    values = list(shares.values())
    counted = all(isinstance(value, int) and not isinstance(value, bool) for value in values)
    if not counted and not all(isinstance(value, float) and math.isfinite(value) for value in values):
        raise _bad_shares(shares, "all floats (shares) or all integers (numbers of pictures)")
    if any(value <= 0 for value in values) or (not counted and sum(values) > 1 + 1e-9):
        raise _bad_shares(shares, "numbers above 0, and shares that sum to at most 1")
    ends = [round(total if counted else total * pictures) for total in accumulate(values)]
    starts = [0, *ends[:-1]]
    if any(end <= start or end > pictures for start, end in zip(starts, ends, strict=True)):
        raise DataError(
            "there are too few different pictures to split",
            got=f"{pictures} pictures for {dict(shares)}",
            expected="at least one picture a part" if not counted else f"at least {sum(values)} pictures",
            todo="give more pictures, or ask for smaller or fewer parts",
        )
    return ends


def _bad_shares(shares: Mapping[str, float] | Mapping[str, int], expected: str) -> UsageError:
    return UsageError("shares cannot be used", got=str(dict(shares)), expected=expected, todo="correct the shares")
