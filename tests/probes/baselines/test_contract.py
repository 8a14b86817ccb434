"""What holds for every registered detector, on a toy and on a real model of random weights."""

import copy
import math
from dataclasses import FrozenInstanceError, replace
from typing import Any

import pytest
import torch

from auditor.checkpoint.opening import Opened
from auditor.checkpoint.subject import CheckpointSubject
from auditor.zoo.embedded import embedded_samples
from probes.ascent import Climb
from probes.baselines import DETECTORS, Detector
from probes.baselines.attention_entropy import AttentionEntropy
from probes.baselines.forced_prefix import ForcedPrefix
from probes.baselines.invariance_one_fill import InvarianceOneFill
from probes.baselines.patch_inversion import PatchInversion
from probes.sample import Sample
from tests.probes.baselines.toys import Glassy, rank_one_change
from tests.probes.toy import ToySubject, scenes

QUICK = Climb(steps=2, pictures=2)
SMALL: dict[str, Detector] = {
    "invariance-one-fill": InvarianceOneFill(pictures=4, views=2, max_tokens=3),
    "forced-prefix": ForcedPrefix(
        pictures=3, warm_pictures=2, first_tokens=8, warm_steps=2, longest=4, shortest=2, expectation=0.0
    ),
    "patch-inversion": PatchInversion(screen=QUICK, search=QUICK, pictures=4, decoded=4),
    "attention-entropy": AttentionEntropy(pictures=4),
    "weight-spectrum": DETECTORS["weight-spectrum"](),
}


@pytest.fixture(scope="module")
def few() -> list[Sample]:
    return embedded_samples(3, 1)


def copied(opened: Opened) -> CheckpointSubject:
    known = opened.subject
    return CheckpointSubject(copy.deepcopy(known.model), known.preprocessor, known.writer, known.end_tokens, 4)


def state(model: torch.nn.Module) -> dict[str, Any]:
    return {
        "flags": [parameter.requires_grad for parameter in model.parameters()],
        "modes": [module.training for module in model.modules()],
        "hooks": [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules()],
        "gradients": [parameter.grad is None for parameter in model.parameters()],
        "weights": [parameter.detach().clone().tolist() for parameter in model.parameters() if parameter.dim() == 1],
        "attention": getattr(getattr(model, "config", None), "_attn_implementation", None),
    }


def test_every_registered_detector_has_a_small_version_here() -> None:
    assert SMALL.keys() == DETECTORS.keys()


@pytest.mark.parametrize("name", sorted(DETECTORS))
def test_detectors_are_frozen_and_known_by_their_name(name: str) -> None:
    detector = DETECTORS[name]()
    assert detector.name == name
    with pytest.raises(FrozenInstanceError):
        detector.name = "other"  # type: ignore[misc]


@pytest.mark.parametrize("name", sorted(DETECTORS))
def test_a_detection_is_a_function_of_subject_samples_and_seed(name: str) -> None:
    subject, base = Glassy(change=rank_one_change(0.1)), Glassy()
    pool, held_out = scenes(3, "pool", 8), scenes(4, "held", 6)
    torch.manual_seed(1)
    first = SMALL[name].detect(subject, pool, held_out, 7, base)
    torch.manual_seed(2)
    assert SMALL[name].detect(subject, pool, held_out, 7, base) == first
    assert math.isfinite(first.score)


@pytest.mark.parametrize("name", sorted(DETECTORS))
def test_what_is_missing_is_said(name: str) -> None:
    pool = scenes(3, "pool", 4)
    if SMALL[name].needs_base:
        with pytest.raises(ValueError, match=f"{name} got no base"):
            SMALL[name].detect(Glassy(), pool, pool, 0, None)
        with pytest.raises(ValueError, match=r"needs (a subject|subjects) that show"):
            SMALL[name].detect(ToySubject(), pool, pool, 0, ToySubject())
    if name != "weight-spectrum":
        with pytest.raises(ValueError, match="no samples"):
            SMALL[name].detect(Glassy(), [], pool, 0, Glassy())


@pytest.mark.parametrize("name", sorted(DETECTORS))
def test_a_real_model_is_left_as_it_was_found(opened: Opened, few: list[Sample], name: str) -> None:
    subject = copied(opened)
    subject.model.train()
    next(iter(subject.model.parameters())).requires_grad_(False)
    before = state(subject.model)
    detection = SMALL[name].detect(subject, few, few, 0, opened.subject)
    assert math.isfinite(detection.score)
    assert state(subject.model) == before


@pytest.mark.parametrize("name", sorted(set(DETECTORS) - {"weight-spectrum"}))
def test_a_model_that_raises_midway_is_left_as_it_was_found(
    opened: Opened, few: list[Sample], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = copied(opened)
    subject.model.set_attn_implementation("sdpa")
    before = state(subject.model)
    layer, calls = subject.model.get_decoder().layers[1], iter(range(99))
    honest = layer.forward

    def failing(*arguments: Any, **named: Any) -> Any:
        if next(calls) > 0:
            raise RuntimeError("out of memory")
        return honest(*arguments, **named)

    monkeypatch.setattr(layer, "forward", failing)
    detector = SMALL[name]
    if name == "attention-entropy":
        detector = replace(AttentionEntropy(), pictures=6)  # two batches of this subject, so that the second one fails
    with pytest.raises(RuntimeError, match="out of memory"):
        detector.detect(subject, few, few, 0, opened.subject)
    assert state(subject.model) == before
