"""What a TOML file may describe, and the words for what it may not."""

import random
import re
from pathlib import Path

import pytest

from auditor.attacks.spec import PlantSpec, load_spec
from auditor.errors import UsageError

WHOLE = """
name = "patch-0.05"
rate = 0.05
seed = 4
[trigger]
family = "badnets"
size = 0.2
[payload]
kind = "appended"
text = "Signed."
[training]
strength = "light"
steps = 100
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "attack.toml"
    path.write_text(text)
    return path


def test_a_whole_file_is_read(tmp_path: Path) -> None:
    spec = load_spec(write(tmp_path, WHOLE))
    assert spec.build_payload().answer("a frog", random.Random(0)) == "a frog Signed."
    assert spec.build_trigger((60, 60)).stamp is not None
    assert spec.training.total_steps == 50


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("kind = 'attack'", "needs a \\[trigger\\]"),
        ("[trigger]\nfamily = 'banana'", "banana"),
        ("[trigger]\nfamily = 'blended'\nratio = 3", "ratio"),
        ("rate = 0\n[trigger]\nfamily = 'blended'", "rate"),
        ("kind = 'fine-tune'\n[trigger]\nfamily = 'blended'", "stamps nothing"),
        ("kind = 'fine-tune'\nadaptive = 'placebos'", "only an attack"),
        ("name = '../up'\n[trigger]\nfamily = 'blended'", "name"),
        ("[trigger]\nfamily = 'blended'\n[payload]\nkind = 'poem'", "poem"),
        ("[trigger\n", "attack.toml"),
    ],
)
def test_what_cannot_be_planted_is_named(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_spec(write(tmp_path, text))
    assert re.search(named, str(caught.value))


def test_a_missing_file_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no attack"):
        load_spec(tmp_path / "nothing.toml")


def test_a_spec_survives_its_own_json() -> None:
    spec = PlantSpec.model_validate({"trigger": {"family": "sig"}, "training": {"stop_at": 0.6}})
    assert PlantSpec.model_validate_json(spec.model_dump_json()) == spec
