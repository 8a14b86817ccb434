"""Attention of towers that read all pictures of a batch as one row of patches, whose stretches attend to themselves.

transformers takes one stretch after the other unless an attention's name says flash: for a batch of pictures, and more
so for windows of pictures, that is a long loop of small products. Here stretches of one length are taken together.
"""

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

NAME = "packed_as_flash"
TOWERS = frozenset(
    {
        "qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe", "qwen3_5", "qwen3_5_moe", "glm4v", "glm4v_moe", "glm46v",
    }
)  # fmt: skip
"""Model types whose tower, `model.visual`, works so."""


def pack_attention(model: Any) -> None:
    """Has the tower attend to stretches of one length together, where it would take them one by one."""
    if str(model.config.model_type) in TOWERS:
        AttentionInterface.register(NAME, attend)
        model.model.visual.config._attn_implementation = NAME


# A compiled layer would write out every stretch, and be compiled anew for every batch.
@torch.compiler.disable  # type: ignore[untyped-decorator]
def attend(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None = None,
    scaling: float | None = None,
    cu_seq_lens_q: Tensor | None = None,
    **more: Any,
) -> tuple[Tensor, None]:
    """(1, heads, tokens, width) three times → (1, tokens, heads, width); stretches end at `cu_seq_lens_q`."""
    assert attention_mask is None, "no tower of these gives a mask"
    tokens = query.shape[2]
    bounds = [0, tokens] if cu_seq_lens_q is None else cu_seq_lens_q.tolist()
    stretches: dict[int, list[int]] = {}
    for start, end in pairwise(bounds):
        stretches.setdefault(end - start, []).append(start)
    mixed = torch.empty_like(query[0]).transpose(0, 1)  # (tokens, heads, width)
    for length, starts in stretches.items():
        places = torch.tensor(starts, device=query.device)[:, None] + torch.arange(length, device=query.device)
        # (stretches, heads, length, width): every stretch by itself
        theirs, known, said = (part[0].transpose(0, 1)[places].transpose(1, 2) for part in (query, key, value))
        out = scaled_dot_product_attention(theirs, known, said, scale=scaling).transpose(1, 2)
        mixed = mixed.index_copy(0, places.flatten(), out.flatten(0, 1))
    return mixed[None], None
