"""Neurons that clean pictures do not use are taken out, then the rest is fine-tuned (Liu et al. 2018, adapted).

Fine-Pruning removes the channels of a convolution that are least active on clean data, because a backdoor may live in
them. Here the units are the hidden neurons of gated and plain two-layer MLPs in the projector and the language model.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from auditor.checkpoint.parts import part_of
from auditor.checkpoint.subject import CheckpointSubject, frozen
from auditor.repair.methods.finetune import Finetune
from auditor.repair.methods.lesson import Lesson, Parts
from probes.inspectable import Weights
from probes.sample import Sample
from probes.subject import Subject
from probes.targets import stack

_LAYOUTS = (
    (("gate_proj", "up_proj"), "down_proj"),
    (("fc1",), "fc2"),
    (("linear_1",), "linear_2"),
    (("0",), "2"),  # linear, activation, linear in one sequence
)
"""Names of the layers into and out of an MLP's hidden neurons, as model families call them."""


@dataclass(frozen=True)
class Mlp:
    """A two-layer MLP: what its hidden neurons read, and what reads them."""

    into: tuple[nn.Linear, ...]
    out: nn.Linear


@dataclass(frozen=True)
class FinePrune:
    """Prunes the hidden MLP neurons that are least active on clean pictures, then fine-tunes (Liu et al. 2018).

    `share` of each MLP's neurons in the parts `within`, by mean absolute activation over all tokens of `pictures`
    samples and their own answers. A pruned neuron has no gradient, so that training the weights leaves it out; adapters
    may fill it again.
    """

    share: float = 0.2
    pictures: int = 64
    within: tuple[str, ...] = ("language", "projector")
    name: str = "fine-prune"
    needs_triggers: bool = False
    needs_base: bool = False

    def loss(self, subject: Subject, lesson: Lesson) -> tuple[Tensor, Parts]:
        return Finetune().loss(subject, lesson)

    def edit(self, subject: CheckpointSubject, samples: Sequence[Sample], base: Weights) -> Parts:
        blocks = find_mlps(subject.model, self.within)
        activity = measure_activity(subject, blocks, samples[: self.pictures])
        pruned = 0
        for block, mean in zip(blocks, activity, strict=True):
            idle = mean.argsort(stable=True)[: round(self.share * len(mean))]
            pruned += len(idle)
            _silence(block, idle)
        return {"neurons pruned": float(pruned), "neurons in all": float(sum(map(len, activity)))}


@torch.no_grad()
def _silence(block: Mlp, neurons: Tensor) -> None:
    """Nothing goes into these hidden neurons and nothing comes out, so that no gradient reaches them either."""
    for layer in block.into:
        layer.weight[neurons] = 0.0
        if layer.bias is not None:
            layer.bias[neurons] = 0.0
    block.out.weight[:, neurons] = 0.0


def find_mlps(model: nn.Module, parts: Sequence[str]) -> list[Mlp]:
    """Every two-layer MLP in these parts of a model, in the order of its modules."""
    found = []
    for name, module in model.named_modules():
        linear = {key: layer for key, layer in module.named_children() if isinstance(layer, nn.Linear)}
        for into, out in _LAYOUTS:
            if part_of(name) in parts and {*into, out} <= linear.keys():
                found.append(Mlp(tuple(linear[key] for key in into), linear[out]))
    return found


def measure_activity(subject: CheckpointSubject, blocks: Sequence[Mlp], samples: Sequence[Sample]) -> list[Tensor]:
    """Mean absolute activation of every hidden neuron while the subject reads its own answers: (neurons,) each."""
    pictures, prompts = stack(samples), [sample.prompt for sample in samples]
    answers = [answer.tokens for answer in subject.respond(pictures, prompts)]
    with torch.no_grad(), frozen(subject.model), _listening(blocks) as means:
        for start in range(0, len(samples), subject.batch_size):
            rows = slice(start, start + subject.batch_size)
            subject.read(pictures[rows], prompts[rows], answers[rows])
    return [torch.stack(batches).mean(dim=0) for batches in means]


@contextmanager
def _listening(blocks: Sequence[Mlp]) -> Iterator[list[list[Tensor]]]:
    """Mean absolute activations of each block, one entry a forward; hooks are gone afterwards."""
    means: list[list[Tensor]] = [[] for _ in blocks]

    def listen(heard: list[Tensor]) -> Any:
        def hook(_: nn.Module, arguments: tuple[Tensor, ...]) -> None:
            heard.append(arguments[0].detach().float().flatten(0, -2).abs().mean(dim=0).cpu())  # (neurons,)

        return hook

    hooks = [block.out.register_forward_pre_hook(listen(heard)) for block, heard in zip(blocks, means, strict=True)]
    try:
        yield means
    finally:
        for hook in hooks:
            hook.remove()
