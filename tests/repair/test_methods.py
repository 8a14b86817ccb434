"""The baselines among the repair methods: each changes what it should, and leaves the rest."""

import copy
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import Tensor

from auditor.checkpoint.opening import open_checkpoint
from auditor.checkpoint.parts import part_of
from auditor.checkpoint.subject import CheckpointSubject, frozen
from auditor.errors import UsageError
from auditor.repair.loop import Repaired, Schedule, harden, repair
from auditor.repair.methods import Consistency, FinePrune, Guided, Interpolate, Method, Restore
from auditor.repair.methods.consistency import inconsistency, watched
from auditor.repair.methods.fine_prune import find_mlps, measure_activity
from auditor.repairing import RepairRequest
from auditor.wording import describe_repair
from probes.inspectable import Weights
from probes.sample import Sample
from probes.seeding import generator
from probes.targets import stack
from tests.checkpoint.folders import build

TWO_STEPS = Schedule(steps=2, batch=3, refresh=0, rate=1e-3)
PROJECTOR = "model.multi_modal_projector"
LAYER = "model.language_model.layers.1.mlp"


def weights(subject: CheckpointSubject) -> dict[str, Tensor]:
    return {name: weight.clone() for name, weight in subject.weights().items()}


def run(
    subject: CheckpointSubject, method: Method, samples: list[Sample], schedule: Schedule = TWO_STEPS,
    base: Weights | None = None,
) -> Repaired:  # fmt: skip
    return repair(subject, method, schedule, samples, (), 0, base=base)


def hooks(subject: CheckpointSubject) -> list[str]:
    """Ours: transformers has some of its own."""
    every = [[*m._forward_hooks.values(), *m._forward_pre_hooks.values()] for m in subject.model.modules()]
    return [hook.__qualname__ for group in every for hook in group if hook.__module__.startswith("auditor")]


def disturb(subject: CheckpointSubject, name: str, rows: list[int], size: float = 5.0) -> None:
    weight = subject.weights()[name]
    noise = torch.randn(weight[rows].shape, generator=generator(1, name))
    weight[rows] += size * noise


def test_fine_pruning_takes_idle_neurons_out_and_keeps_them_out(
    subject: CheckpointSubject, samples: list[Sample]
) -> None:
    before = weights(subject)
    idle = [3, 200, 383]
    subject.weights()[f"{LAYER}.gate_proj.weight"][idle] = 0.0  # SiLU(0) = 0: these never say anything
    done = run(subject, FinePrune(share=0.05, pictures=6), samples)
    after = weights(subject)
    assert done.steps == 2
    # Four layers of 384 neurons and 128 of the projector, 5 % of each block.
    assert done.edited == {"neurons pruned": 4 * 19 + 6, "neurons in all": 4 * 384 + 128}
    gates, ups, downs = (after[f"{LAYER}.{name}.weight"] for name in ("gate_proj", "up_proj", "down_proj"))
    silent = (~gates.any(dim=1)).nonzero().flatten().tolist()
    assert len(silent) == 19 and set(idle) <= set(silent)
    assert not ups[silent].any() and not downs[:, silent].any()
    kept = [row for row in range(384) if row not in silent]
    assert (ups[kept] != before[f"{LAYER}.up_proj.weight"][kept]).any(dim=1).all()
    bias, first = after[f"{PROJECTOR}.linear_1.bias"], after[f"{PROJECTOR}.linear_1.weight"]
    assert int((~first.any(dim=1) & (bias == 0)).sum()) == 6
    assert all(layer.any(dim=1).all() for name, layer in after.items() if "vision" in name and "fc1.weight" in name)


def test_activity_is_the_mean_absolute_input_of_the_second_layer(
    subject: CheckpointSubject, samples: list[Sample]
) -> None:
    block = find_mlps(subject.model, ("projector",))
    assert [b.out.in_features for b in block] == [128]
    with torch.no_grad(), frozen(subject.model):
        seen = subject.preprocessor.inputs(stack(samples[:2]))
        out = subject.model.model.vision_tower(**seen).last_hidden_state[:, 1:]
        hidden = torch.nn.functional.gelu(subject.model.model.multi_modal_projector.linear_1(out))
    (found,) = measure_activity(subject, block, samples[:2])
    torch.testing.assert_close(found, hidden.abs().mean(dim=(0, 1)), atol=1e-5, rtol=1e-4)
    assert hooks(subject) == []


def test_fine_pruning_nothing_is_fine_tuning_alone(subject: CheckpointSubject, samples: list[Sample]) -> None:
    before = weights(subject)
    FinePrune(share=0.0).edit(subject, samples[:2], {})
    assert all(torch.equal(weight, before[name]) for name, weight in weights(subject).items())


def test_restore_takes_back_the_rows_that_changed_most(
    subject: CheckpointSubject, pristine: CheckpointSubject, samples: list[Sample]
) -> None:
    base = pristine.weights()
    disturb(subject, f"{PROJECTOR}.linear_1.weight", [4, 90])
    disturb(subject, f"{PROJECTOR}.linear_1.bias", [4])
    disturb(subject, f"{PROJECTOR}.linear_2.weight", [17])
    disturb(subject, f"{PROJECTOR}.linear_2.weight", [18], size=1e-3)
    disturb(subject, f"{LAYER}.up_proj.weight", [0])
    before = weights(subject)
    done = run(subject, Restore(share=3 / 256), samples, base=base)
    assert done.steps == 0 and done.losses == ()
    assert done.edited == {"rows restored": 3, "rows in all": 256}
    after = subject.weights()
    assert torch.equal(after[f"{PROJECTOR}.linear_1.weight"], base[f"{PROJECTOR}.linear_1.weight"])
    assert torch.equal(after[f"{PROJECTOR}.linear_1.bias"], base[f"{PROJECTOR}.linear_1.bias"])
    second = f"{PROJECTOR}.linear_2.weight"
    assert torch.equal(after[second][17], base[second][17])
    assert torch.equal(after[second][18], before[second][18])
    assert torch.equal(after[f"{LAYER}.up_proj.weight"], before[f"{LAYER}.up_proj.weight"])


def test_restoring_everything_everywhere_gives_the_base(
    subject: CheckpointSubject, pristine: CheckpointSubject, samples: list[Sample]
) -> None:
    for weight in subject.weights().values():
        weight += 0.05
    everywhere = Restore(share=1.0, within=("language", "projector", "vision"))
    run(subject, everywhere, samples, base=pristine.weights())
    assert all(torch.equal(weight, pristine.weights()[name]) for name, weight in subject.weights().items())


@pytest.mark.parametrize(("share", "left"), [(0.0, 0.08), (0.25, 0.06), (1.0, 0.0)])
def test_interpolation_goes_a_share_of_the_way_to_the_base(
    subject: CheckpointSubject, pristine: CheckpointSubject, samples: list[Sample], share: float, left: float
) -> None:
    for weight in subject.weights().values():
        weight += 0.08
    run(subject, Interpolate(share=share, within=("language", "vision")), samples, base=pristine.weights())
    for name, weight in subject.weights().items():
        expected = 0.08 if "projector" in name else left
        torch.testing.assert_close(weight - pristine.weights()[name], torch.full_like(weight, expected))


@pytest.mark.parametrize("method", [Restore(), Interpolate()], ids=lambda method: method.name)
def test_a_base_of_the_same_architecture_is_needed(
    subject: CheckpointSubject, pristine: CheckpointSubject, samples: list[Sample], method: Method
) -> None:
    before, base = weights(subject), dict(pristine.weights())
    with pytest.raises(UsageError, match=method.name) as error:
        run(subject, method, samples)
    assert "--base FOLDER" in error.value.expected
    with pytest.raises(UsageError, match=method.name):
        RepairRequest(method, Path("out"))
    base[f"{PROJECTOR}.linear_2.weight"] = torch.zeros(64, 128)
    with pytest.raises(UsageError, match="same architecture") as error:
        run(subject, method, samples, base=base)
    assert "(64, 128)" in error.value.got
    assert all(torch.equal(weight, before[name]) for name, weight in weights(subject).items())


def test_inconsistency_is_the_mean_cosine_distance_between_adjacent_layers(
    subject: CheckpointSubject, samples: list[Sample]
) -> None:
    pair = [samples[0], samples[1]]  # prompts of different lengths, so that one row is padded
    prompts, answers = [sample.prompt for sample in pair], [(5, 6, 7), (9,)]
    twin = copy.deepcopy(subject.model)
    with torch.no_grad(), watched(subject) as watch:
        assert hooks(subject)
        reading = subject.read(stack(pair), prompts, answers)
        found = [float(inconsistency(watch, first)) for first in (0, 2)]
    inputs = subject._inputs(stack(pair), prompts, answers)
    kept: list[Tensor] = []
    for layer in twin.model.language_model.layers:
        layer.register_forward_hook(lambda _, arguments, output: kept.append(output))
    with torch.no_grad():
        plain = twin.model(**inputs, output_hidden_states=True)
    states = [plain.hidden_states[0], *kept]
    attended = inputs["attention_mask"].bool()
    whole = [1 - torch.nn.functional.cosine_similarity(a, b, dim=-1) for a, b in pairwise(states)]
    rows = [[layer[row][attended[row]].mean() for row in range(2)] for layer in whole]
    apart = [torch.stack(pair).mean() for pair in rows]
    assert found[0] == pytest.approx(float(torch.stack(apart).mean()), abs=1e-5)
    assert found[1] == pytest.approx(float(torch.stack(apart[2:]).mean()), abs=1e-5)
    torch.testing.assert_close(reading.features, plain.last_hidden_state[:, -4:], atol=1e-5, rtol=1e-4)


def test_worst_case_noise_makes_layers_less_consistent(subject: CheckpointSubject, samples: list[Sample]) -> None:
    schedule = replace(TWO_STEPS, steps=1)
    twins = [copy.deepcopy(subject.model) for _ in range(2)]
    found = []
    for model, epsilon in zip(twins, (0.0, 0.3), strict=True):
        subject.model = model
        found.append(run(subject, Consistency(epsilon=epsilon), samples, schedule).losses[0][1]["inconsistency"])
    assert found[1] > found[0] > 0


def test_consistency_is_learned(subject: CheckpointSubject, samples: list[Sample]) -> None:
    done = run(subject, Consistency(), samples, replace(TWO_STEPS, steps=6))
    assert done.losses[-1][1]["inconsistency"] < done.losses[0][1]["inconsistency"]
    assert hooks(subject) == []


@pytest.mark.parametrize("family", ["qwen2_vl", "idefics3"])
def test_consistency_and_pruning_find_their_way_in_other_families(
    samples: list[Sample], family: str, tmp_path: Path
) -> None:
    subject = open_checkpoint(build(family, tmp_path), batch_size=4).subject
    before = weights(subject)
    lesson = [replace(sample, answers=("a dog",)) for sample in samples[:3]]
    done = harden(subject, lesson, Schedule(steps=1, batch=3, refresh=0), Consistency())
    assert done.losses[0][1]["inconsistency"] > 0
    for part in ("language", "projector", "vision"):
        named = [name for name in before if part_of(name) == part]
        assert any(not torch.equal(subject.weights()[name], before[name]) for name in named)
    assert FinePrune().edit(subject, lesson, {})["neurons in all"] >= 4 * 256


def test_consistency_trains_adapters_too(subject: CheckpointSubject, samples: list[Sample]) -> None:
    before = weights(subject)
    run(subject, Consistency(), samples, replace(TWO_STEPS, lora_rank=2, parts=("language",)))
    moved = {name for name, weight in weights(subject).items() if not torch.equal(weight, before[name])}
    assert moved and all("language_model" in name for name in moved)


def test_consistency_leaves_no_hook_when_the_model_raises(
    subject: CheckpointSubject, samples: list[Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = subject.model.get_decoder().layers[2]
    flags = [parameter.requires_grad for parameter in subject.model.parameters()]
    honest, calls = layer.forward, iter(range(99))

    def failing(*arguments: object, **named: object) -> object:
        if torch.is_grad_enabled() and next(calls) == 1:  # the second reading of the first step
            raise RuntimeError("out of memory")
        return honest(*arguments, **named)

    monkeypatch.setattr(layer, "forward", failing)
    with pytest.raises(RuntimeError, match="out of memory"):
        run(subject, Consistency(), samples)
    assert hooks(subject) == []
    assert [parameter.requires_grad for parameter in subject.model.parameters()] == flags


def test_the_record_says_what_was_edited_and_from_which_base() -> None:
    request = RepairRequest(Restore(), Path("out"), base=Path("clean"))
    described = describe_repair(request, Repaired(0, 1.0, (), edited={"rows restored": 77.0}, base="ab12"), {})
    assert (described.method, described.steps) == ("restore", 0)
    assert described.settings["base"] == "clean" and described.settings["base_sha256"] == "ab12"
    assert described.settings["within"] == "projector"
    assert "rows restored: 77" in described.notes


@pytest.mark.parametrize(("halved", "said"), [(True, "bfloat16 products"), (False, "as the weights are held")])
def test_the_record_says_what_automatic_precision_came_to(halved: bool, said: str) -> None:
    described = describe_repair(RepairRequest(Guided(), Path("out")), Repaired(1, 1.0, (), halved=halved), {})
    assert described.settings["precision"] == f"auto: {said}"


@pytest.mark.parametrize(("divided", "said"), [(True, "a part of every layer"), (False, "the whole model")])
def test_the_record_says_how_many_processes_trained_and_what_each_held(
    divided: bool, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = describe_repair(RepairRequest(Guided(), Path("out")), Repaired(1, 1.0, ()), {})
    assert "processes" not in alone.settings
    monkeypatch.setenv("WORLD_SIZE", "2")
    request = RepairRequest(Guided(), Path("out"), divided=divided)
    described = describe_repair(request, Repaired(1, 1.0, ()), {})
    assert described.settings["processes"] == f"2, each with {said}"
