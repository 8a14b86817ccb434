"""A language model divided among processes, by the plan that transformers has for it (Shoeybi et al. 2019).

Each process holds a part of every large matrix and computes a part of every product; after each pair of products they
add up what they have. What a model says is the same in all of them, so that all can run the same search, step by step.
"""

from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from auditor.company import company, part_at_the_end
from auditor.errors import CheckpointError
from probes.subject import Subject


def loading() -> dict[str, Any]:
    """What transformers is told so that this process loads its part alone."""
    from transformers.distributed.configuration_utils import DistributedConfig

    return {"distributed_config": DistributedConfig(tp_plan="auto")}


def refuse_undivided(model: Any) -> None:
    """Raises CheckpointError where heads cannot be divided evenly, or the family has no plan."""
    part_at_the_end()
    text = model.config.get_text_config()
    heads = int(text.num_attention_heads)
    pairs = int(getattr(text, "num_key_value_heads", None) or heads)
    if heads % company() or pairs % company():
        raise CheckpointError(
            "the heads of this model cannot be divided evenly", where="config.json",
            got=f"{heads} heads, {pairs} of keys and values, {company()} processes",
            expected="a number of processes that divides both", todo="start another number of processes",
        )  # fmt: skip
    if not any(isinstance(parameter, DTensor) for parameter in model.parameters()):
        raise CheckpointError(
            "transformers has no plan by which this family is divided", where="config.json",
            got=f"model_type {model.config.model_type}", todo="scan it with one process",
        )  # fmt: skip


def refuse_speechless(subject: Subject) -> None:
    """Raises CheckpointError where what was divided cannot answer: some use a matrix elsewhere than in products."""
    try:
        subject.respond(torch.zeros(1, 3, *subject.canvas), ["What?"], 1)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        raise CheckpointError(
            "transformers divides this family, but then it cannot answer", where="config.json",
            got=str(error).strip().splitlines()[0], expected="an answer", todo="scan it with one process",
        ) from error  # fmt: skip


def agreed(tensor: Tensor) -> Tensor:
    """The same tensor, whose gradient is the first process's in all of them: what is searched with stays the same
    everywhere, even where a device adds up in an order of its own."""
    found: Tensor = _Agreed.apply(tensor)  # type: ignore[no-untyped-call]
    return found


class _Agreed(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, tensor: Tensor) -> Tensor:
        return tensor.view_as(tensor)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Tensor:
        (gradient,) = gradients
        gradient = gradient.contiguous().clone()
        torch.distributed.broadcast(gradient, src=0)
        return gradient
