"""How an opened model looks at a picture, and how it goes on in many ways from one question; no gradients."""

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from auditor.errors import InternalError
from probes.subject import Tokens


def visual_attention(model: Any, inputs: dict[str, Tensor], image_token: int, layers: int) -> Tensor:
    """Attention of the last prompt token on the visual tokens: (layers, batch, heads, visual tokens).

    `inputs` are prompts without answers, all padded on the left. Raises InternalError for a model that hands no
    attention out, or whose pictures do not stand among its tokens.
    """
    with _eager(model), _overheard(model.get_decoder(), layers) as seen:
        model.model(**inputs, use_cache=False)
    visual = inputs["input_ids"] == image_token  # (batch, tokens)
    counts = set(visual.sum(dim=1).tolist())
    if not seen or len(counts) != 1 or counts == {0}:
        raise InternalError(
            "this family does not show how its language model attends to the picture",
            got=f"{len(seen)} layers with weights, {sorted(counts)} visual tokens a prompt",
            expected="attention weights of the first layers, and the same number of visual tokens in every prompt",
        )
    last = torch.stack(seen)  # (layers, batch, heads, tokens)
    return torch.stack([last[:, row][..., places] for row, places in enumerate(visual)], dim=1)


@contextmanager
def _overheard(decoder: Any, layers: int) -> Iterator[list[Tensor]]:
    """Attention weights of the last token, (batch, heads, tokens) a layer, as forwards inside compute them.

    `output_attentions=True` would do the same, but leaves transformers' own hooks behind.
    """
    seen: list[Tensor] = []

    def hook(_: Any, arguments: tuple[Any, ...], output: Any) -> None:
        if isinstance(output, tuple) and isinstance(output[1], Tensor):
            seen.append(output[1][:, :, -1])

    # Some families have recurrent layers between those that attend.
    attending = [layer.self_attn for layer in decoder.layers if hasattr(layer, "self_attn")]
    hooks = [attention.register_forward_hook(hook) for attention in attending[:layers]]
    try:
        yield seen
    finally:
        for handle in hooks:
            handle.remove()


@contextmanager
def words_given(embedding: Any, starts: Sequence[int], weights: Tensor) -> Iterator[None]:
    """Inside, the embeddings of some tokens are sums over the vocabulary: `weights` (tokens, vocabulary), from the
    column `starts` of every row on."""
    rows = torch.arange(len(starts), device=weights.device)[:, None]
    columns = torch.tensor(starts, device=weights.device)[:, None] + torch.arange(len(weights), device=weights.device)

    def hook(module: Any, arguments: tuple[Any, ...], embedded: Tensor) -> Tensor | None:
        if embedded.shape[0] != len(starts) or embedded.shape[1] < int(columns.max()) + 1:
            return None  # asked about a token of its own, such as the picture's place holder
        scale = getattr(module, "embed_scale", 1.0)  # of families that multiply what they look up
        given = (weights.to(module.weight.dtype) @ module.weight[: weights.shape[1]] * scale)[None].expand(
            len(starts), -1, -1
        )
        return embedded.index_put((rows, columns), given)

    handle = embedding.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def branches(model: Any, inputs: dict[str, Tensor], continuations: Sequence[Tokens], rows: int) -> Tensor:
    """Log-probabilities after each continuation: (batch, continuations, vocabulary); at most `rows` rows a forward.

    `inputs` are prompts of one length, without padding: then no mask is needed, and every family places the tokens that
    follow by what its cache holds.
    """
    length = len(continuations[0]) if continuations else 0
    if not length or any(len(tokens) != length for tokens in continuations):
        raise ValueError("continuations are not of one length above zero")
    batch = len(inputs["input_ids"])
    cache = model.model(**inputs, use_cache=True).past_key_values
    repeatable = all(hasattr(layer, "batch_repeat_interleave") for layer in cache.layers)  # recurrent ones are not
    at_once = max(1, rows // batch) if repeatable else 1
    parts = []
    for start in range(0, len(continuations), at_once):
        chosen = torch.tensor(continuations[start : start + at_once], device=inputs["input_ids"].device)
        own = copy.deepcopy(cache)
        if len(chosen) > 1:
            own.batch_repeat_interleave(len(chosen))
        core = model.model(input_ids=chosen.repeat(batch, 1), past_key_values=own, use_cache=True)
        logits = model.get_output_embeddings()(core.last_hidden_state[:, -1])
        parts.append(logits.float().log_softmax(-1).view(batch, len(chosen), -1))
    return torch.cat(parts, dim=1)


@contextmanager
def _eager(model: Any) -> Iterator[None]:
    """The decoder's attention kernel is the one that computes its weights, inside; the former one after."""
    decoder = model.get_decoder()
    before = decoder.config._attn_implementation
    if before == "eager":
        yield
        return
    decoder.set_attn_implementation("eager")
    try:
        yield
    finally:
        decoder.set_attn_implementation(before)
