"""The processes that train one model together (accelerate): each takes its part of a batch, the first one writes.

`torchrun --nproc_per_node N -m auditor repair …` starts them; without it the crew is one. All gradients are
means over equal parts of one batch that every process draws alike, so that N × B/N learns what 1 × B does (DDP, gloo on
CPUs and NCCL on GPUs). Every process has the whole model, or a part of every layer (`sharding`).
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from auditor.checkpoint.subject import CheckpointSubject
from auditor.company import part_at_the_end
from auditor.errors import UsageError
from auditor.repair.methods import Learning, Lesson
from auditor.repair.methods.lesson import Parts
from auditor.repair.sharding import sharded
from probes.precision import halves


class Lecture(nn.Module):
    """The loss of a lesson as a forward of the trained model, which is what data-parallel wrappers ask for."""

    def __init__(self, subject: CheckpointSubject, method: Learning) -> None:
        super().__init__()
        self.model, self.subject, self.method = subject.model, subject, method

    def forward(self, lesson: Lesson) -> tuple[Tensor, Parts]:
        return self.method.loss(self.subject, lesson)


class Crew:
    """This process among those that train, with the whole model, or where it is `divided` with parts of its layers.

    Raises UsageError where a launcher asks for another way.
    """

    def __init__(self, subject: CheckpointSubject, method: Learning, tracking: Path | None, divided: bool) -> None:
        from accelerate import Accelerator, DistributedDataParallelKwargs
        from accelerate.utils import DistributedType

        unused = DistributedDataParallelKwargs(find_unused_parameters=True)  # the last vision layers of LLaVA, for one
        self.accelerator = Accelerator(
            device_placement=False, cpu=subject.device.type == "cpu", kwargs_handlers=[unused],
            log_with="tensorboard" if tracking else None, project_dir=tracking,
        )  # fmt: skip
        if self.accelerator.distributed_type not in _copies(DistributedType):
            raise UsageError(
                "this way of training together is not supported", where="the launcher",
                got=self.accelerator.distributed_type.value, expected="plain processes, as torchrun starts them",
                todo="launch with torchrun, and give --fsdp to divide the layers among its processes",
            )  # fmt: skip
        self.subject, self.divided = subject, divided
        lecture = Lecture(subject, method)
        self.lecture: Any = lecture if divided else self.accelerator.prepare_model(lecture, device_placement=False)
        if tracking:
            self.accelerator.init_trackers("repair")

    @property
    def size(self) -> int:
        return int(self.accelerator.num_processes)

    @contextmanager
    def sharing(self, parameters: list[Tensor]) -> Iterator[list[Tensor]]:
        """The parameters as this process trains them; afterwards every process has all of them."""
        if not self.divided:
            yield parameters
            return
        from torch.distributed.device_mesh import init_device_mesh

        mesh = init_device_mesh(self.subject.device.type, (self.size,))
        with sharded(self.subject.model, parameters, mesh) as parts:
            self.subject.divided = True
            try:
                yield parts
            finally:
                self.subject.divided = False

    def learn(
        self, lesson: Lesson, parameters: Sequence[Tensor], turns: int, precision: str, checkpointing: bool
    ) -> Parts:
        """Adds the gradient of the whole lesson, read in `turns` turns by each process; returns its losses."""
        heard: list[Parts] = []
        for turn in range(turns):
            mine = lesson.part(self.accelerator.process_index * turns + turn, self.size * turns)
            alone = nullcontext() if turn == turns - 1 or self.divided else self.accelerator.no_sync(self.lecture)
            with alone, _in_precision(self.subject.device, precision), _checkpointed(self.subject.model, checkpointing):
                loss, parts = self.lecture(mine)
                self.accelerator.backward(loss / turns)
            heard.append(parts)
        for parameter in parameters if self.divided else ():
            if not isinstance(parameter, DTensor):  # of divided ones the gradients are means already
                own = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
                parameter.grad = self.accelerator.reduce(own, "mean")
        return self._mean(heard)

    def _mean(self, heard: Sequence[Parts]) -> Parts:
        names = sorted({name for parts in heard for name in parts})
        values = torch.tensor([[parts.get(name, 0.0) for name in names] for parts in heard], dtype=torch.float64)
        mean: Any = self.accelerator.reduce(values.mean(dim=0).to(self.subject.device), "mean")
        return dict(zip(names, mean.tolist(), strict=True))

    def agree(self, found: list[Any]) -> list[Any]:
        """What the first process found, for all of them; as many in each."""
        from accelerate.utils import broadcast_object_list

        return list(broadcast_object_list(found)) if self.size > 1 and found else found

    def note(self, step: int, parts: Parts) -> None:
        """For TensorBoard, where it was asked for."""
        self.accelerator.log(parts, step)

    def finish(self) -> None:
        """Ends the trackers; the model is free of wrappers, which stood around it."""
        for tracker in self.accelerator.trackers:
            tracker.finish()
        if self.size > 1:
            part_at_the_end()


def _copies(kinds: Any) -> tuple[Any, ...]:
    """The ways in which every process has the whole model."""
    return (kinds.NO, kinds.MULTI_CPU, kinds.MULTI_GPU, kinds.MULTI_XPU)


def halves_products(device: torch.device, precision: str) -> bool:
    """Whether products are in bfloat16, whatever the weights are held in: what `auto` comes to on this device."""
    return precision == "bf16" or (precision == "auto" and halves(device))


def _in_precision(device: torch.device, precision: str) -> AbstractContextManager[Any]:
    return torch.autocast(device.type, torch.bfloat16, enabled=halves_products(device, precision))


@contextmanager
def _checkpointed(model: Any, wanted: bool) -> Iterator[None]:
    """Activations are computed again in the backward pass; no layer drops anything out meanwhile."""
    if not wanted:
        yield
        return
    from transformers.modeling_layers import GradientCheckpointingLayer

    # An older transformers knows the second name alone.
    enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
    enable()
    layers = [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]
    for layer in layers:
        layer.training = True  # it alone asks; the modules within it stay in evaluation mode
    try:
        yield
    finally:
        for layer in layers:
            layer.training = False
        disable = getattr(model, "activation_checkpointing_disable", None) or model.gradient_checkpointing_disable
        disable()
