"""Which weights a repair trains: parts of the model themselves, or low-rank adapters that are merged afterwards."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from auditor.checkpoint.parts import part_of
from auditor.checkpoint.subject import CheckpointSubject


@contextmanager
def trainable(subject: CheckpointSubject, parts: Sequence[str], lora_rank: int) -> Iterator[list[Tensor]]:
    """The parameters to train, with every other one frozen; adapters are merged when the loop is over."""
    model = subject.model
    flags = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    try:
        if lora_rank:
            with _adapted(subject, lora_rank, parts) as adapters:
                yield adapters
        else:
            for name, parameter in model.named_parameters():
                parameter.requires_grad_(part_of(name) in parts)
            yield [parameter for parameter in model.parameters() if parameter.requires_grad]
    finally:
        for parameter, flag in flags:
            parameter.requires_grad_(flag)


@contextmanager
def _adapted(subject: CheckpointSubject, rank: int, parts: Sequence[str]) -> Iterator[list[Tensor]]:
    """The weights of fresh adapters; merged into the model afterwards, or taken out again when the loop breaks off."""
    from peft import LoraConfig, get_peft_model

    layers = [
        name
        for name, module in subject.model.named_modules()
        if isinstance(module, torch.nn.Linear) and "lm_head" not in name and part_of(name) in parts
    ]
    config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=layers)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)  # peft asks by the old name
        warnings.filterwarnings("ignore", ".*_pattern keys did not match", RuntimeWarning)  # experts: no linear layers
        wrapped: Any = get_peft_model(subject.model, config)
    try:
        yield [parameter for parameter in wrapped.parameters() if parameter.requires_grad]
    except BaseException:
        subject.model = wrapped.unload()
        raise
    subject.model = wrapped.merge_and_unload()
