"""The door of the language model: what enters it in a forward pass, and where the picture stands in that."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from auditor.checkpoint.subject import CheckpointSubject

Meet = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Gets embeddings (batch, tokens, width), `places` (batch, tokens), True where a piece of the picture stands, and
`attended` (batch, tokens), False for padding; returns the embeddings that enter."""
PIECES = 64
"""Of a picture, at the most, are kept where its embeddings are compared."""


@dataclass
class Sight:
    """The visual embeddings of the last forward: (batch, pieces, width), pieces spread evenly over each picture; None
    where nothing was seen to enter."""

    embeddings: Tensor | None = None


@contextmanager
def entering(subject: CheckpointSubject, meet: Meet) -> Iterator[None]:
    """Calls `meet` in every forward of the subject's model inside. A family that feeds its language model in another
    way than as `inputs_embeds` is not met; of Qwen3-VL, whose pictures also enter deeper layers, the first way is."""
    token, known = subject.writer.image_token_id, dict[str, Tensor]()

    def before_model(_: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        known["places"], known["attended"] = named["input_ids"] == token, named["attention_mask"]

    def before_decoder(_: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
        embeddings = named.get("inputs_embeds")
        if embeddings is None:
            return None
        return arguments, {**named, "inputs_embeds": meet(embeddings, known["places"], known["attended"])}

    hooks = [
        subject.model.model.register_forward_pre_hook(before_model, with_kwargs=True),
        subject.model.get_decoder().register_forward_pre_hook(before_decoder, with_kwargs=True),
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def sighted(subject: CheckpointSubject) -> Iterator[Sight]:
    """Notes the visual embeddings of every forward inside."""
    sight = Sight()

    def note(embeddings: Tensor, places: Tensor, attended: Tensor) -> Tensor:
        pieces = int(places[0].sum())
        if pieces and bool((places.sum(dim=1) == pieces).all()):
            each = embeddings[places].unflatten(0, (len(places), pieces))
            spread = torch.linspace(0, pieces - 1, min(PIECES, pieces), device=each.device).round().long()
            sight.embeddings = each[:, spread]
        return embeddings

    with entering(subject, note):
        yield sight
