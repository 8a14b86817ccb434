"""Several processes train what one does, each with the whole model or with a part of every layer."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.tensor import DTensor, distribute_tensor

from auditor.checkpoint.families.compiled import FAST, compile_layers
from auditor.checkpoint.subject import CheckpointSubject
from auditor.errors import UsageError
from auditor.repair.methods import Guided
from auditor.repair.sharding import clip, sharded
from auditor.repairing import RepairRequest
from probes.sample import Sample
from tests.repair.crew_script import Trained, apart, run_crew


@pytest.fixture
def mesh() -> Iterator[DeviceMesh]:
    """A crew of one, in this process."""
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    try:
        yield init_device_mesh("cpu", (1,))
    finally:
        torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    found = run_crew(1, tmp_path_factory.mktemp("alone") / "out.json")
    assert found is not None and found.processes == 1 and len(found.losses) == 8  # the harder half as well
    return found


def furthest(one: Trained, other: Trained) -> float:
    """The largest difference of a weight. The first steps of Adam are as large as the rate, whatever the gradient."""
    assert one.weights.keys() == other.weights.keys()
    return max(float((weight - other.weights[name]).abs().max()) for name, weight in one.weights.items())


def test_two_processes_learn_what_one_does(alone: Trained, tmp_path: Path) -> None:
    together = run_crew(2, tmp_path / "out.json")
    assert together is not None and together.processes == 2 and together.held == alone.held
    assert apart(alone.losses, together.losses) < 1e-4 and furthest(alone, together) < 1e-3


def test_two_processes_that_divide_the_layers_learn_what_one_does_and_hold_half(alone: Trained, tmp_path: Path) -> None:
    assert run_crew(2, tmp_path / "out.json", "fsdp", "sparing", "killed") is None
    kept = load_file(tmp_path / "out.state")  # whole: any number of processes may go on with it
    assert sum(value.numel() for value in kept.values()) > 3 * sum(weight.numel() for weight in alone.weights.values())
    divided = run_crew(2, tmp_path / "out.json", "fsdp", "sparing")
    assert divided is not None and divided.processes == 2
    assert [2 * held for held in divided.held] == alone.held
    assert apart(alone.losses, divided.losses) < 1e-4 and furthest(alone, divided) < 1e-3


def test_adapters_over_divided_layers_learn_what_one_process_does(tmp_path: Path) -> None:
    one, divided = run_crew(1, tmp_path / "one.json", "lora"), run_crew(2, tmp_path / "two.json", "lora", "fsdp")
    assert one is not None and divided is not None and [2 * held for held in divided.held] == one.held
    assert apart(one.losses, divided.losses) < 1e-4 and furthest(one, divided) < 1e-3


def test_there_must_be_somebody_to_divide_the_layers_with(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nobody to divide") as error:
        RepairRequest(Guided(), tmp_path, divided=True)
    assert error.value.where == "--fsdp" and "torchrun" in error.value.expected


def test_afterwards_the_model_is_as_it_was_but_for_what_it_learned(
    subject: CheckpointSubject, samples: list[Sample], mesh: DeviceMesh
) -> None:
    model = subject.model
    compile_layers(model, backend="eager")
    modules, parameters = dict(model.named_modules()), dict(model.named_parameters())
    before = {name: weight.detach().clone() for name, weight in parameters.items()}
    picture = samples[0].picture[None].requires_grad_()
    with sharded(model, list(parameters.values()), mesh) as parts:
        assert sum(isinstance(part, DTensor) for part in parts) == sum(".layers." in name for name in parameters)
        assert all(name in parameters for name, _ in model.named_parameters())
        inside = subject.read(picture, [samples[0].prompt], [(5, 6)]).log_probs
        with torch.no_grad():
            for part in parts:
                part.add_(1.0)
    assert all(module is modules[name] for name, module in model.named_modules())
    assert all(weight is parameters[name] for name, weight in model.named_parameters())
    assert all(torch.equal(weight, before[name] + 1) for name, weight in model.state_dict().items() if name in before)
    with torch.no_grad():
        for name, weight in parameters.items():
            weight.copy_(before[name])
    assert torch.allclose(inside, subject.read(picture, [samples[0].prompt], [(5, 6)]).log_probs, atol=1e-5)
    assert any(FAST in vars(module) for module in model.modules())


def test_gradients_are_clipped_by_one_norm_whether_divided_or_not(mesh: DeviceMesh) -> None:
    plain = [nn.Parameter(torch.zeros(3)), nn.Parameter(torch.zeros(2, 2))]
    mixed = [plain[0], nn.Parameter(distribute_tensor(torch.zeros(2, 2), mesh))]
    for first, second in (plain, mixed):
        first.grad = torch.full((3,), 2.0)
        second.grad = (
            torch.full((2, 2), 3.0) if second is plain[1] else distribute_tensor(torch.full((2, 2), 3.0), mesh)
        )
        clip([first, second], 1.0)
        whole_gradient = second.grad.full_tensor() if isinstance(second.grad, DTensor) else second.grad
        assert torch.allclose(first.grad, torch.full((3,), 2 / 48**0.5), rtol=1e-4)
        assert torch.allclose(whole_gradient, torch.full((2, 2), 3 / 48**0.5), rtol=1e-4)
