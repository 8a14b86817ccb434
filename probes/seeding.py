"""Seeds derived by name: the only door to randomness.

A result depends on the root seed and on names alone, not on order, batch size or what ran before.
"""

import hashlib

import torch


def derive_seed(root: int, *names: str | int) -> int:
    """A seed in [0, 2**63) for the purpose that `names` spell out."""
    text = "/".join([str(root), *map(str, names)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(root: int, *names: str | int) -> torch.Generator:
    """A CPU generator for that purpose; draw on the CPU and move, so that devices agree."""
    return torch.Generator().manual_seed(derive_seed(root, *names))
