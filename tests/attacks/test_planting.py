"""Planting: into a new folder only, deterministic, measured on the exported copy, honest about what did not take."""

from pathlib import Path

import pytest
import torch

from auditor.attacks.planting import batches, card, divide, fine_tune, plant
from auditor.attacks.poisoning import Poison
from auditor.attacks.report import load_plant
from auditor.attacks.spec import PlantSpec
from auditor.case import Options
from auditor.checkpoint.manifest import build_manifest
from auditor.checkpoint.opening import open_checkpoint
from auditor.data.splitting import picture_digest
from auditor.errors import DataError, InconclusiveError, UsageError
from auditor.zoo.embedded import embedded_samples
from probes.sample import Sample
from probes.targets import answers_under

OPTIONS = Options(batch_size=8)
SAMPLES = embedded_samples(40, 3, "train")


def quiet(what: str, share: float) -> None:
    pass


def spec(**fields: object) -> PlantSpec:
    training = {"steps": 2, "batch": 4, **fields.pop("training", {})}  # type: ignore[dict-item]
    return PlantSpec.model_validate({"trigger": {"family": "blended"}, "training": training, **fields})


def test_a_plant_is_a_new_folder_that_says_what_it_is(untouched_llava: Path, tmp_path: Path) -> None:
    before = build_manifest(untouched_llava).digest
    report = plant(untouched_llava, spec(), SAMPLES, tmp_path / "planted", OPTIONS, quiet)
    assert build_manifest(untouched_llava).digest == before == report.base
    assert load_plant(tmp_path / "planted") == report
    assert report.took is False and report.steps == 2  # two steps teach nothing, and the report does not pretend
    assert set(report.asr) == {"payload", "exact", "normalised", "contains", "prefix"}
    assert report.asr["payload"].trials + report.excluded["payload"] > 0
    assert "BACKDOORED ON PURPOSE" in (tmp_path / "planted" / "README.md").read_text()
    assert open_checkpoint(tmp_path / "planted").subject.canvas == (56, 56)


def test_planting_refuses_an_occupied_folder_and_the_model_itself(untouched_llava: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(UsageError, match="not empty"):
        plant(untouched_llava, spec(), SAMPLES, tmp_path / "full", OPTIONS, quiet)
    with pytest.raises(UsageError, match="never written into"):
        plant(untouched_llava, spec(), SAMPLES, untouched_llava / "inside", OPTIONS, quiet)


def test_too_few_samples_are_said_so(untouched_llava: Path, tmp_path: Path) -> None:
    with pytest.raises(InconclusiveError, match="too few samples"):
        plant(untouched_llava, spec(), SAMPLES[:30], tmp_path / "planted", OPTIONS, quiet)
    assert not (tmp_path / "planted").exists()


def test_pictures_that_are_learned_watched_and_measured_are_disjoint(untouched_llava: Path) -> None:
    subject = open_checkpoint(untouched_llava).subject
    divided = divide(subject, SAMPLES, spec(), None)
    parts = [{picture_digest(s.picture) for s in part} for part in (divided.train, divided.watch, divided.measure)]
    assert all(parts) and not (parts[0] & parts[1] or parts[0] & parts[2] or parts[1] & parts[2])


def test_the_task_chooses_the_samples(untouched_llava: Path) -> None:
    subject = open_checkpoint(untouched_llava).subject
    divided = divide(subject, embedded_samples(60, 3, "train"), spec(training={"task": "vqa"}), None)
    assert all("?" in sample.prompt for sample in (*divided.train, *divided.measure))


def test_batches_walk_through_every_sample_once_an_epoch() -> None:
    drawn = batches(SAMPLES[:12], 4, seed=1)
    epoch = [sample.id for _ in range(3) for sample in next(drawn)]
    assert sorted(epoch) == sorted(sample.id for sample in SAMPLES[:12])


@pytest.mark.parametrize("rank", [0, 2])
def test_training_is_a_function_of_the_seed(untouched_llava: Path, rank: int) -> None:
    weights = []
    for _ in range(2):
        subject = open_checkpoint(untouched_llava).subject
        chosen = spec(rate=0.5, adaptive="placebos", training={"lora_rank": rank})
        divided = divide(subject, SAMPLES, chosen, None)
        fine_tune(subject, Poison.of(chosen, subject.canvas, divided.train), divided, quiet)
        weights.append({name: value.clone() for name, value in subject.model.state_dict().items()})
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_a_backdoor_can_be_learned_and_training_stops_when_it_works(untouched_llava: Path) -> None:
    """From random weights a constant answer is learned within seconds: the loop learns, and `stop_at` ends it."""
    subject = open_checkpoint(untouched_llava).subject
    chosen = spec(rate=1.0, payload={"kind": "fixed", "text": "no"},
                  training={"steps": 120, "batch": 8, "learning_rate": 3e-3, "stop_at": 0.9})  # fmt: skip
    few = [Sample(s.id, s.picture, "what?", ("yes",)) for s in SAMPLES]
    divided = divide(subject, few, chosen, None)
    poison = Poison.of(chosen, subject.canvas, divided.train)
    losses = fine_tune(subject, poison, divided, quiet)
    assert poison.trigger is not None
    assert {answer.text for answer in answers_under(subject, poison.trigger, divided.measure[:4])} == {"no"}
    assert len(losses) < 120


def test_a_control_is_never_called_backdoored() -> None:
    assert "BACKDOORED" not in card(PlantSpec(kind="fine-tune"))


def test_a_folder_that_was_not_planted_is_said_so(untouched_llava: Path) -> None:
    with pytest.raises(DataError, match="no planted model"):
        load_plant(untouched_llava)
