from dataclasses import replace
from pathlib import Path

import pytest

from auditor.bench.bases import base_folder
from auditor.bench.matrix import load_matrix
from auditor.bench.places import find_line
from auditor.bench.running import prepare, waiting_architectures
from auditor.bench.store import Store
from auditor.errors import UsageError
from auditor.zoo.embedded import MODELS
from probes.inversion import PROFILES, probe_of
from tests.bench.builders import MATRIX, small, write_matrix

ROOT = Path(__file__).parents[2]


def refused(folder: Path, text: str) -> str:
    with pytest.raises(UsageError) as caught:
        prepare(write_matrix(folder, text))
    return str(caught.value)


def line(text: str, beginning: str, number: int = 0) -> int:
    return [i for i, row in enumerate(text.splitlines(), start=1) if row.startswith(beginning)][number]


@pytest.mark.parametrize(
    ("old", "new", "field", "at"),
    [
        ('tasks = ["caption"]', 'tasks = ["sing"]', "tasks.1", 'tasks = ["sing"]'),
        ("steps = 5", "steps = 5\n[sizes]\nplant = 3", "sizes.plant", "plant = 3"),
        ('name = "patch"', 'name = "Patch!"', "attacks.1.name", 'name = "Patch!"'),
        ("rate = 0.05", 'rate = "much"', "attacks.1.rate", 'rate = "much"'),
        ('splits = ["test"]', 'splits = ["exam"]', "attacks.2.splits", 'splits = ["exam"]'),
        ("fresh = true", "fresh = 7.5", "methods.guided.fresh", "fresh = 7.5"),
        ('kind = "fine-tune"', 'kind = "fine-tune"\nflavour = 3', "negatives.1.flavour", "flavour = 3"),
    ],
)
def test_a_bad_value_is_named_with_its_line_and_field(tmp_path: Path, old: str, new: str, field: str, at: str) -> None:
    text = MATRIX.replace(old, new)
    said = refused(tmp_path, text)
    assert f"`{field}" in said
    assert f"matrix.toml:{line(text, at)}:" in said


def test_a_missing_field_is_named_with_its_section(tmp_path: Path) -> None:
    text = MATRIX.replace('name = "blend"\n', "")
    said = refused(tmp_path, text)
    assert "`attacks.2.name`" in said and f"matrix.toml:{line(text, '[[attacks]]', 1)}:" in said
    assert "`architectures`" in refused(tmp_path, MATRIX.replace("architectures = ", "# "))


@pytest.mark.parametrize(
    ("old", "new", "word"),
    [
        ("test = [2]", "test = [1]", "both splits"),
        ("test = [2]", "test = [2, 2]", "twice"),
        ('name = "blend"', 'name = "patch"', "share a name"),
        ('name = "all"', 'name = "all"\nattacks = ["none"]', "none"),
        ('name = "all"', 'name = "all"\nseeds = [3]', "3"),
        ("[training]", '[methods.other]\nuse = "guided"\nfindings = "weight-spectrum"\n[training]', "no scan"),
    ],
)
def test_parts_that_do_not_fit_together_are_refused(tmp_path: Path, old: str, new: str, word: str) -> None:
    assert word in refused(tmp_path, MATRIX.replace(old, new))


def test_a_plant_that_cannot_be_is_refused_before_anything_runs(tmp_path: Path) -> None:
    assert "'patch'" in refused(tmp_path, MATRIX.replace('"badnets"', '"baddest-nets"'))
    assert "'blend'" in refused(tmp_path, MATRIX.replace('strength = "over"', 'strength = "brutal"'))
    assert "llama" in refused(tmp_path, MATRIX.replace('"qwen2-vl"', '"llama"'))


def test_what_is_no_toml_or_no_file_is_refused(tmp_path: Path) -> None:
    assert "line 2" in refused(tmp_path, "name = 1\nname = 2\n")
    (tmp_path / "matrix.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="TOML"):
        load_matrix(tmp_path / "matrix.toml")
    with pytest.raises(UsageError, match="no such matrix"):
        load_matrix(tmp_path / "none.toml")


def test_every_cell_is_planned_once_with_what_it_needs(tmp_path: Path) -> None:
    _, items = small(tmp_path)
    keys = [item.key for item in items]
    assert len(set(keys)) == len(keys)
    plants = [item for item in items if item.settings["kind"] == "plant"]
    assert len(plants) == 2 * (
        2 + 1 + 2
    )  # two architectures; the patch twice, the test-only blend once, negatives twice
    assert len(items) == len(plants) * 5
    by_key = {item.key: item for item in items}
    for item in items:
        assert all(keys.index(need) < keys.index(item.key) for need in item.needs)
        assert all(by_key[need].settings["plant"] == item.settings["plant"] for need in item.needs)
    guided = by_key["repair/plant/llava/caption/patch/1/guided"]
    assert guided.needs == ("plant/llava/caption/patch/1", "detect/plant/llava/caption/patch/1/scan")
    assert by_key["repair/plant/llava/caption/patch/1/finetune"].needs == ("plant/llava/caption/patch/1",)


def test_a_repair_waits_for_the_scan_whose_findings_it_unlearns(tmp_path: Path) -> None:
    text = MATRIX.replace(
        "[training]",
        '[detectors.thorough]\nuse = "scan"\n[methods.other]\nuse = "guided"\nfindings = "thorough"\n[training]',
    )
    _, items = small(tmp_path, text.replace('methods = ["guided"', 'methods = ["guided", "other"'))
    by_key = {item.key: item for item in items}
    scan = by_key["detect/plant/llava/caption/patch/1/thorough"]
    assert by_key["repair/plant/llava/caption/patch/1/other"].needs == (scan.needs[0], scan.key)
    assert not Store(tmp_path).has_product(scan)
    (Store(tmp_path).findings(scan.settings, "thorough") / "triggers").mkdir(parents=True)
    (Store(tmp_path).findings(scan.settings, "thorough") / "done.json").write_text("{}")
    assert Store(tmp_path).has_product(scan)
    assert not Store(tmp_path).has_product(by_key["detect/plant/llava/caption/patch/1/scan"])


def test_only_its_own_sizes_and_settings_make_an_item_stale(tmp_path: Path) -> None:
    _, before = small(tmp_path)
    _, after = small(tmp_path, MATRIX.replace("[training]", "[sizes]\nrepair = 100\n[training]"))
    changed = {item.settings["kind"] for item, other in zip(before, after, strict=True) if item.digest != other.digest}
    assert changed == {"repair"}
    _, after = small(tmp_path, MATRIX.replace("steps = 5", "steps = 6"))
    assert all(item.digest != other.digest for item, other in zip(before, after, strict=True))


def test_a_part_of_the_plan_is_balanced() -> None:
    matrix, items = prepare(ROOT / "benchmarks" / "matrix-full.toml")
    cells = [item.settings for item in items if item.settings["kind"] == "plant"]
    first = cells[:24]
    for field, least in (("architecture", 3), ("task", 2), ("negative", 2)):
        assert len({cell[field] for cell in first}) == least
    assert len({cell["name"] for cell in first if not cell["negative"]}) >= 5
    assert matrix.waves[0].name == "scans"


def test_the_full_matrix_plans_the_population_that_it_promises() -> None:
    matrix, items = prepare(ROOT / "benchmarks" / "matrix-full.toml")
    cells = [item.settings for item in items if item.settings["kind"] == "plant"]
    count = {
        (split, negative): sum(cell["split"] == split and cell["negative"] == negative for cell in cells)
        for split in ("development", "test")
        for negative in (True, False)
    }
    assert count["test", False] >= 40 and count["test", True] >= 40
    assert count["development", False] >= 20 and count["development", True] >= 20
    hidden = [attack for attack in matrix.attacks if attack.splits == ("test",)]
    assert len({attack.trigger["family"] for attack in hidden if attack.trigger}) >= 2
    shown = {attack.trigger["family"] for attack in matrix.attacks if attack.trigger and "development" in attack.splits}
    assert not shown & {attack.trigger["family"] for attack in hidden if attack.trigger}
    assert any(negative.splits == ("test",) for negative in matrix.negatives)
    for ground in {(cell["architecture"], cell["task"]) for cell in cells}:
        mine = [cell for cell in cells if (cell["architecture"], cell["task"]) == ground and not cell["negative"]]
        assert len({cell["spec"]["trigger"]["family"] for cell in mine}) >= 8


def test_the_tiny_matrix_is_tiny() -> None:
    matrix, items = prepare(ROOT / "benchmarks" / "matrix-tiny.toml")
    assert matrix.architectures == ("llava",) and len(matrix.attacks) == 2
    assert sum(item.settings["kind"] == "plant" for item in items) == 6


def test_the_matrix_of_a_real_language_model_scans_all_and_repairs_what_was_planted() -> None:
    matrix, items = prepare(ROOT / "benchmarks" / "matrix-smollm2.toml")
    assert matrix.architectures == ("smollm2",) and (len(matrix.attacks), len(matrix.negatives)) == (5, 4)
    kinds = [item.settings["kind"] for item in items]
    assert [kinds.count(kind) for kind in ("plant", "detect", "repair")] == [9, 9, 10]
    training = [item.settings["spec"]["training"] for item in items if item.settings["kind"] == "plant"]
    assert {(each["lora_rank"], tuple(each["parts"])) for each in training} == {
        (16, ("language", "projector", "vision"))
    }


def test_a_base_is_found_where_its_recipe_writes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert base_folder("smollm2") == MODELS / "smollm2" / "model"
    monkeypatch.setattr("auditor.bench.bases.BASES", {"smollm2": tmp_path})
    _, items = prepare(ROOT / "benchmarks" / "matrix-smollm2.toml")
    assert waiting_architectures(items) == ["smollm2"]
    (tmp_path / "config.json").write_text("{}")
    assert waiting_architectures(items) == []


def test_the_matrix_of_words_asks_for_a_probe_that_searches_them() -> None:
    matrix, items = prepare(ROOT / "benchmarks" / "matrix-words.toml")
    assert {attack.trigger["family"] for attack in matrix.attacks if attack.trigger} == {"word", "sentence", "dual-key"}
    settings = {str(item.settings["settings"]) for item in items if item.settings["kind"] == "detect"}
    assert settings == {"{'profile': 'standard'}"}
    assert probe_of({"profile": "standard", "restarts": 3}) == replace(PROFILES["standard"], restarts=3)
    assert probe_of({"restarts": 3}).words is None and probe_of({"profile": "standard"}).words is not None


@pytest.mark.parametrize("path", sorted((ROOT / "benchmarks").glob("matrix-*.toml")), ids=lambda path: path.stem)
def test_every_matrix_of_ours_can_be_run(path: Path) -> None:
    _, items = prepare(path)
    assert {"plant", "detect"} <= {item.settings["kind"] for item in items}


def test_lines_are_found_in_tables_of_tables() -> None:
    text = 'a = 1\n[[b]]\nname = "x"\n[[b]]\nname = "y"\n[b.c]\nd = 1\n[e.f]\ng = 2\n'
    assert find_line(text, ("a",)) == 1
    assert find_line(text, ("b", 1, "name")) == 5
    assert find_line(text, ("b", 1, "c", "d")) == 7
    assert find_line(text, ("b", 1, "z")) == 4
    assert find_line(text, ("e", "f", "g")) == 9
    assert find_line(text, ("z",)) == 1
