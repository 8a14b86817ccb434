"""Warm starts: weights of the embedded LLaVA in the shapes of another family, so that less is to be learned."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


def copy_text(text: Any, source: Any, rows: Mapping[int, int]) -> None:
    """Llama layers into a text model of the same sizes; `rows` maps new rows of the embedding to rows to start from.

    Biases that Llama does not have become zero.
    """
    embedding = text.embed_tokens.weight
    embedding[: len(source.embed_tokens.weight)] = source.embed_tokens.weight
    for new, old in rows.items():
        embedding[new] = source.embed_tokens.weight[old]
    for mine, theirs in ((text.layers, source.layers), (text.norm, source.norm)):
        left = mine.load_state_dict(theirs.state_dict(), strict=False)
        assert not left.unexpected_keys
        for name in left.missing_keys:
            mine.get_parameter(name).zero_()


def copy_block(norms: tuple[nn.Module, nn.Module], feedforward: Any, source: Any) -> None:
    """The two norms and the feed-forward layers of a CLIP block; attention differs between families."""
    norms[0].load_state_dict(source.layer_norm1.state_dict())
    norms[1].load_state_dict(source.layer_norm2.state_dict())
    feedforward.fc1.load_state_dict(source.mlp.fc1.state_dict())
    feedforward.fc2.load_state_dict(source.mlp.fc2.state_dict())


def folded_embeddings(tower: Any, pixels: Tensor, patch: int) -> tuple[Tensor, Tensor, Tensor]:
    """CLIP's patch embedding for patches of another size, with its position embedding and the norm behind folded in.

    Gives a kernel (width, 3, patch, patch), a bias (width,) and positions (grid², width), whose sum is nearly what
    CLIP's first block is given: the norm's division is by its mean over `pixels` (batch, 3, side, side).
    """
    embeddings, norm = tower.embeddings, tower.pre_layrnorm
    kernel = embeddings.patch_embedding.weight  # (width, 3, own, own)
    places = embeddings.position_embedding.weight[1:]  # without the class token
    raw = embeddings.patch_embedding(pixels).flatten(2).transpose(1, 2) + places  # (batch, patches, width)
    spread = raw.var(dim=-1, unbiased=False).add(norm.eps).sqrt().mean()

    width = len(kernel)
    centred = torch.eye(width) - 1 / width
    linear = norm.weight[:, None] * centred / spread  # what the norm does to a vector
    resized = functional.interpolate(kernel, (patch, patch), mode="bicubic", align_corners=False)
    resized = resized * (kernel.shape[-1] / patch) ** 2  # a patch of another size sums other numbers of pixels
    grid, own = pixels.shape[-1] // patch, round(len(places) ** 0.5)
    spread_out = functional.interpolate(
        places.T.reshape(1, width, own, own), (grid, grid), mode="bicubic", align_corners=False
    )
    return (
        torch.einsum("vw,wchx->vchx", linear, resized),
        norm.bias.clone(),
        spread_out.reshape(width, -1).T @ linear.T,
    )
