"""Layers that torch compiles for the steps of a search, which are most of what it does with a large model.

Between its matrix products a layer reads and writes its values many times over; compiled, it does so once. On one H200
the steps of an inversion of LLaVA-1.5-7B went 1.34 to 1.41 times as fast (benchmarks/results/throughput-h200.json).
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import torch

LARGE = 10**9
"""Parameters from which compiling, which takes half a minute, is soon paid back."""
FAST = "_fast_forward"
"""The attribute of a layer that holds its compiled forward pass."""


def worth_compiling(model: Any, device: str) -> bool:
    """Whether the model is large, on a GPU, and there is what compiles for it."""
    large = sum(parameter.numel() for parameter in model.parameters()) >= LARGE
    return large and torch.device(device).type == "cuda" and find_spec("triton") is not None


def compile_layers(model: Any, backend: str | Callable[..., Any] = "inductor") -> None:
    """Has every layer of tower and language model compiled at its first use within `as_compiled`, once for batches and
    answers of any size. Elsewhere they run as they did: the steps in which answers are generated all differ in shape,
    and what is trained changes."""
    for layer in _layers(model):
        vars(layer)[FAST] = torch.compile(layer.forward, backend=backend, dynamic=True)


@contextmanager
def as_compiled(model: Any) -> Iterator[None]:
    """Layers that were compiled run so inside."""
    ready = [layer for layer in _layers(model) if FAST in vars(layer)]
    if not ready:
        yield
        return
    for layer in ready:
        vars(layer)["forward"] = vars(layer)[FAST]
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The .grad attribute", UserWarning)  # torch, as it follows a layer
            yield
    finally:
        for layer in ready:
            del vars(layer)["forward"]


def _layers(model: Any) -> list[Any]:
    from transformers.modeling_layers import GradientCheckpointingLayer  # slow, and not for those who only list

    return [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]
