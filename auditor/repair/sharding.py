"""Layers divided among the processes that train them (FSDP2: torch's `fully_shard`, Zhao et al. 2023).

Of every layer of tower and language model each process keeps one part, with its gradient and what the optimiser knows
of it; a layer is whole while something passes through it. What lies outside of layers (embeddings, projector, the last
norm) stays whole everywhere. Training in 32 bits needs 16 bytes a weight, of which 16 / N remain; before and after it
every process holds the whole model, as a search and the way back need it.
"""

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, distribute_tensor

from auditor.checkpoint.families.compiled import FAST


@contextmanager
def sharded(model: nn.Module, parameters: Sequence[Tensor], mesh: DeviceMesh) -> Iterator[list[Tensor]]:
    """The same parameters as they are trained inside: a part of those that belong to layers. Afterwards the model is
    whole again in every process, with the parameters that it had; not so when something was raised inside."""
    from torch.distributed.fsdp import fully_shard

    divided: list[tuple[nn.Module, str, nn.Module]] = []
    parts: dict[Tensor, Tensor] = {}  # by the whole one
    for parent, name, layer in list(_layers(model)):
        worker = _twin(layer)
        fully_shard(worker, mesh=mesh)
        setattr(parent, name, worker)
        divided.append((parent, name, layer))
        for own, part in zip(layer.parameters(), worker.parameters(), strict=True):
            parts[own] = part
            own.data = own.data.new_empty(0)
    yield [parts.get(parameter, parameter) for parameter in parameters]
    for parameter, trained in parts.items():
        parameter.data = whole(trained.detach())
    for parent, name, layer in divided:
        setattr(parent, name, layer)


def whole(tensor: Tensor) -> Tensor:
    """The tensor with the parts of all processes, each of which has to ask; one that is not divided as it is."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def like(tensor: Tensor, example: Tensor) -> Tensor:
    """A whole tensor, the same in every process, divided as the example is."""
    if not isinstance(example, DTensor):
        return tensor
    return distribute_tensor(tensor.to(example.device), example.device_mesh, example.placements)


def clip(parameters: Sequence[Tensor], most: float) -> None:
    """Scales all gradients by one factor so that their norm, over all processes, is at most so much."""
    divided = [parameter for parameter in parameters if isinstance(parameter, DTensor)]
    if not divided:
        torch.nn.utils.clip_grad_norm_(parameters, most)
        return
    groups = divided, [parameter for parameter in parameters if not isinstance(parameter, DTensor)]
    norms = [nn.utils.get_total_norm([p.grad for p in group if p.grad is not None]) for group in groups if group]
    norm = torch.linalg.vector_norm(torch.stack([whole(each) for each in norms]))
    for group in groups:
        nn.utils.clip_grads_with_norm_(group, most, norm)


def _layers(module: nn.Module) -> Iterator[tuple[nn.Module, str, nn.Module]]:
    """What transformers itself marks as one layer, wherever it stands: who holds it, by which name."""
    from transformers.modeling_layers import GradientCheckpointingLayer

    for name, child in module.named_children():
        if isinstance(child, GradientCheckpointingLayer):
            yield module, name, child
        else:
            yield from _layers(child)


def _twin(module: nn.Module) -> Any:
    """Another module around the same weights, which may be replaced and hooked without a trace in the first."""
    other = copy.copy(module)
    held = {name: copy.copy(value) if isinstance(value, dict) else value for name, value in vars(module).items()}
    held["_modules"] = {name: child if child is None else _twin(child) for name, child in module.named_children()}
    held.pop(FAST, None)  # compiled for the first
    vars(other).clear()
    vars(other).update(held)
    return other
