"""`pcr-audit list`: every registered thing with its defaults, and the preview beside it."""

from pathlib import Path

import pytest

from auditor.attacks.payloads import PAYLOADS
from auditor.cli.main import main
from probes.triggers.registry import FAMILIES


def test_families_of_models_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "models"]) == 0
    shown = capsys.readouterr().out.split()
    assert {"models", "qwen3_vl", "gemma3", "llava_next"} <= set(shown) and "probes" not in shown


def test_every_family_is_listed_with_its_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "triggers"]) == 0
    said = capsys.readouterr().out
    for family in FAMILIES.values():
        assert f"  {family.name}: {family.about}" in said
        for name, (allows, _) in family.defaults.items():
            assert f"{name} = " in said and allows.expected in said
    assert "amplitude = 0.1569" in said and 'word = "BadMagic"' in said
    assert "inserted" not in said


def test_every_payload_is_listed_with_its_text(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "payloads"]) == 0
    said = capsys.readouterr().out
    for kind, payload in PAYLOADS.items():
        assert f"  {kind}: " in said and payload.text in said


def test_the_preview_is_written_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "triggers", "--preview", str(tmp_path / "new")]) == 0
    assert "triggers.png" in capsys.readouterr().err
    assert (tmp_path / "new" / "wanet-after.png").is_file()


@pytest.mark.parametrize("kind", ["payloads", "all"])
def test_only_triggers_have_a_preview(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", kind, "--preview", str(tmp_path / "new")]) == 4
    assert "list triggers --preview DIR" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_preview_into_an_occupied_folder_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    assert main(["list", "triggers", "--preview", str(tmp_path)]) == 4
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
