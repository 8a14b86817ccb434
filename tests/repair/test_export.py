from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from auditor.checkpoint.manifest import build_manifest
from auditor.checkpoint.opening import open_checkpoint
from auditor.checkpoint.subject import CheckpointSubject
from auditor.errors import UsageError
from auditor.repair.export import export, stored_dtype
from auditor.repair.loop import Schedule, repair, seed_everything_else
from auditor.repair.methods import Finetune
from auditor.zoo.embedded import CLEAN_MODEL
from probes.sample import Sample


@pytest.mark.parametrize("rank", [0, 2])
def test_a_repaired_model_reopens_with_its_new_weights(
    subject: CheckpointSubject, samples: list[Sample], tmp_path: Path, rank: int
) -> None:
    before = build_manifest(CLEAN_MODEL)
    seed_everything_else(0)
    schedule = Schedule(steps=2, batch=3, refresh=0, lora_rank=rank)
    repair(subject, Finetune(), schedule, samples, (), 0)
    out = tmp_path / "new" / "repaired"
    export(subject.model, CLEAN_MODEL, out)
    assert build_manifest(CLEAN_MODEL) == before
    again = open_checkpoint(out, batch_size=4).subject
    assert again.model.state_dict().keys() == subject.model.state_dict().keys()
    for name, value in again.model.state_dict().items():
        torch.testing.assert_close(value, subject.model.state_dict()[name])
    old = load_file(CLEAN_MODEL / "model.safetensors")
    assert any(not torch.equal(old[name], value) for name, value in load_file(out / "model.safetensors").items())


def test_everything_but_the_weights_is_the_sources(
    subject: CheckpointSubject, untouched_llava: Path, tmp_path: Path
) -> None:
    export(subject.model, untouched_llava, tmp_path / "out")
    for path in untouched_llava.iterdir():
        if path.suffix != ".safetensors":
            assert (tmp_path / "out" / path.name).read_bytes() == path.read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_the_card_says_what_it_is_and_the_given_one_stays_beside_it(subject: CheckpointSubject, tmp_path: Path) -> None:
    export(subject.model, CLEAN_MODEL, tmp_path / "out")
    assert "repaired checkpoint" in (tmp_path / "out" / "README.md").read_text()
    assert (tmp_path / "out" / "README.original.md").read_bytes() == (CLEAN_MODEL / "README.md").read_bytes()
    settings = "generation_config.json"
    assert (tmp_path / "out" / settings).read_bytes() == (CLEAN_MODEL / settings).read_bytes()


def test_the_precision_is_the_sources(subject: CheckpointSubject, llava_folder: Path, tmp_path: Path) -> None:
    halved = {name: tensor.half() for name, tensor in load_file(llava_folder / "model.safetensors").items()}
    save_file(halved, llava_folder / "model.safetensors", metadata={"format": "pt"})
    assert stored_dtype(llava_folder) == torch.float16
    export(subject.model, llava_folder, tmp_path / "out")
    assert {tensor.dtype for tensor in load_file(tmp_path / "out" / "model.safetensors").values()} == {torch.float16}
    assert subject.model.dtype == torch.float32


@pytest.mark.parametrize("below", ["", "repaired", "deep/er"])
def test_the_source_is_never_written_into(subject: CheckpointSubject, llava_folder: Path, below: str) -> None:
    before = build_manifest(llava_folder)
    with pytest.raises(UsageError, match="never written into"):
        export(subject.model, llava_folder, llava_folder / below)
    assert build_manifest(llava_folder) == before


def test_a_failed_export_leaves_nothing(
    subject: CheckpointSubject, untouched_llava: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(folder: Path) -> None:
        (Path(folder) / "model.safetensors").write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(subject.model, "save_pretrained", full)
    with pytest.raises(OSError, match="No space"):
        export(subject.model, untouched_llava, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_an_empty_folder_may_be_filled(subject: CheckpointSubject, untouched_llava: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    export(subject.model, untouched_llava, tmp_path / "out")
    assert (tmp_path / "out" / "model.safetensors").is_file()
