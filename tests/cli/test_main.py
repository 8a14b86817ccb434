import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import get_args

import jsonschema
import pytest
import torch
from PIL import Image

from auditor import __version__
from auditor.cli.main import MethodName, main
from auditor.data.preparing import LEAST_PICTURES
from auditor.repair.methods import METHODS
from tests.checkpoint.folders import build

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Commands run in an empty folder, on few embedded pictures."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setattr("auditor.case.EMBEDDED_SCENES", 64)
    return here


def refused(arguments: list[str], code: int, here: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """Runs a scan that is refused; nothing may have been written. Returns what was said on stderr."""
    assert main(["scan", *arguments, "--out", str(here / "run")]) == code
    assert list(here.iterdir()) == []
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("error:") == 1 and "Traceback" not in said.err
    return said.err


def jsonl(folder: Path, *lines: str) -> Path:
    folder.mkdir()
    Image.new("RGB", (8, 8), "red").save(folder / "good.png")
    (folder / "bad.png").write_bytes(b"no picture")
    (folder / "data.jsonl").write_text("\n".join(lines) + "\n")
    return folder / "data.jsonl"


GOOD = json.dumps({"image": "good.png", "prompt": "What?", "answers": ["red"]})


def test_a_missing_model_folder_is_a_usage_error(elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "none" in refused([str(elsewhere / "none")], 4, elsewhere, capsys)


def test_a_bad_line_is_named(
    elsewhere: Path, tmp_path: Path, untouched_llava: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = jsonl(tmp_path / "data", GOOD, '{"image": ')
    assert "data.jsonl:2" in refused([str(untouched_llava), "--data", str(data)], 4, elsewhere, capsys)


def test_a_picture_that_is_none_is_named(
    elsewhere: Path, tmp_path: Path, untouched_llava: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = jsonl(tmp_path / "data", GOOD, GOOD.replace("good", "bad"))
    assert "bad.png" in refused([str(untouched_llava), "--data", str(data)], 4, elsewhere, capsys)


@pytest.mark.parametrize("option", [["--fail-on", "huge"], ["--seed", "x"], ["--unheard-of"], ["--device", "abacus"]])
def test_a_wrong_option_is_a_usage_error(
    elsewhere: Path, untouched_llava: Path, option: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert "what to do" in refused([str(untouched_llava), *option], 4, elsewhere, capsys)


def test_an_unknown_command_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["scam"]) == 4
    assert "--help" in capsys.readouterr().err


def test_an_occupied_output_folder_is_kept(
    elsewhere: Path, untouched_llava: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (elsewhere / "mine.txt").write_text("mine")
    assert main(["scan", str(untouched_llava), "--out", str(elsewhere)]) == 4
    assert [path.name for path in elsewhere.iterdir()] == ["mine.txt"]


def truncate(folder: Path) -> None:
    with (folder / "model.safetensors").open("r+b") as file:
        file.truncate(100_000)


def turn_into_pickle(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"weight": 1}))


def add_remote_code(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "auto_map": {"AutoModel": "modeling.Model"}}))


@pytest.mark.parametrize("damage", [truncate, turn_into_pickle, add_remote_code], ids=lambda damage: damage.__name__)
def test_a_damaged_or_dangerous_checkpoint_is_refused(
    elsewhere: Path, llava_folder: Path, damage: object, capsys: pytest.CaptureFixture[str]
) -> None:
    assert callable(damage)
    damage(llava_folder)
    refused([str(llava_folder)], 2, elsewhere, capsys)


def test_too_few_pictures_are_inconclusive_and_the_record_says_so(
    elsewhere: Path, tmp_path: Path, untouched_llava: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = jsonl(tmp_path / "data", GOOD)
    assert main(["scan", str(untouched_llava), "--data", str(data), "--out", "run"]) == 3
    assert f"at least {LEAST_PICTURES}" in capsys.readouterr().out
    record = json.loads((elsewhere / "run" / "record.json").read_text())
    assert record["verdict"]["outcome"] == "inconclusive"


def test_how_pictures_are_given_is_among_the_limits(elsewhere: Path, tmp_path: Path) -> None:
    """A model that splits pictures is asked about one tile; a reader of the record must know."""
    data = jsonl(tmp_path / "data", GOOD)
    assert main(["scan", str(build("smolvlm", tmp_path)), "--data", str(data), "--out", "run"]) == 3
    limits = json.loads((elsewhere / "run" / "record.json").read_text())["limits"]
    assert "Image splitting is off" in limits[0]


def test_a_random_model_is_inconclusive_and_its_record_says_so(
    elsewhere: Path, untouched_llava: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["scan", str(untouched_llava), "--out", "run"]) == 3
    assert "INCONCLUSIVE" in capsys.readouterr().out
    record = json.loads((elsewhere / "run" / "record.json").read_text())
    assert record["verdict"]["outcome"] == "inconclusive"
    assert record["competence"]["passed"] is False
    assert record["findings"] == []
    assert (elsewhere / "run" / "report.html").is_file()
    assert main(["schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    jsonschema.validate(record, schema)


def test_the_schema_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    jsonschema.validators.validator_for(schema).check_schema(schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"verdict": "pass"}, schema)


def test_what_is_registered_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    everything = capsys.readouterr().out
    for name in (
        "inversion",
        "invariance",
        "additive",
        "patch",
        "guided",
        "pcr",
        "finetune",
        "forced-prefix",
        "contains",
        "jsonl",
    ):
        assert name in everything
    assert main(["list", "methods"]) == 0
    assert "additive" not in capsys.readouterr().out
    assert main(["list", "nonsense"]) == 4


def test_every_repair_method_is_listed_and_can_be_chosen(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "methods"]) == 0
    listed = capsys.readouterr().out
    assert all(f"  {name}: " in listed for name in METHODS)
    assert set(get_args(get_args(MethodName)[0])) == METHODS.keys()


@pytest.mark.parametrize("method", ["restore", "interpolate"])
def test_a_method_that_needs_a_base_is_refused_before_anything_is_scanned(
    elsewhere: Path, untouched_llava: Path, method: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["audit", str(untouched_llava), "--method", method, "--out", "run"]) == 4
    said = capsys.readouterr().err
    assert f"`{method}`" in said and "--base FOLDER" in said
    assert list(elsewhere.iterdir()) == []


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"pcr-audit {__version__}\n"


def test_without_a_run_there_is_nothing_to_report(elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report"]) == 4
    assert main(["repair"]) == 4
    assert "pcr-audit scan" in capsys.readouterr().err
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("arguments", [["--help"], ["scan", "--help"], ["--version"]])
def test_help_is_instant(arguments: list[str]) -> None:
    code = (
        "import sys; from auditor.cli.main import main; code = main(sys.argv[1:]);"
        "heavy = {'torch', 'transformers', 'scipy', 'matplotlib', 'captum'} & set(sys.modules);"
        "sys.exit(code or (f'imported {heavy}' if heavy else 0))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=100, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "pcr-audit" in done.stdout


def test_a_device_that_is_too_small_is_said_in_words(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_small(*asked: object) -> None:
        raise torch.OutOfMemoryError("tried to allocate 20 GiB")

    monkeypatch.setattr("auditor.cli.work.scan", too_small)
    assert main(["scan", "anywhere"]) == 2
    said = capsys.readouterr().err
    assert all(
        word in said for word in ("too little memory", "20 GiB", "--dtype", "--accumulate", "--gradient-checkpointing")
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["scan", "--controls"], "controls are for one process"),
        (["scan", "--negatives", "folder"], "controls are for one process"),
        (["audit"], "an audit is for one process"),
    ],
)
def test_what_several_processes_cannot_do_is_refused_before_anything_happens(
    arguments: list[str], said: str, elsewhere: Path, untouched_llava: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setenv("WORLD_SIZE", "2")
    command, *options = arguments
    assert main([command, str(untouched_llava), *options]) == 4
    assert said in capsys.readouterr().err and list(elsewhere.iterdir()) == []


def test_a_process_that_only_helps_leaves_it_to_the_first_one_to_complain(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    assert main(["scan", str(elsewhere / "none")]) == 4
    assert capsys.readouterr().err == "" and list(elsewhere.iterdir()) == []
