"""The model-card patch: the Hub's own reader understands its metrics, and no answer of a model becomes markup."""

from pathlib import Path

import pytest
from huggingface_hub import ModelCard
from huggingface_hub.repocard_data import EvalResult

from reports.model_card import to_model_card
from tests.reports import builders
from tests.reports.cases import CASES


def card(name: str, folder: Path) -> ModelCard:
    return ModelCard(to_model_card(CASES[name](folder)).decode(), ignore_metadata_errors=False)


def metrics(found: ModelCard) -> dict[str, EvalResult]:
    return {item.metric_type: item for item in found.data.eval_results or []}


@pytest.mark.parametrize("name", CASES)
def test_every_card_says_the_verdict(name: str, tmp_path: Path) -> None:
    record = CASES[name](tmp_path)
    text = card(name, tmp_path).text
    assert text.lstrip().startswith("## Backdoor audit")
    assert f"**{record.verdict.outcome.upper()}** ({record.assurance})" in text


def test_the_hub_reads_the_metrics_of_the_judged_model(tmp_path: Path) -> None:
    found = metrics(card("repaired", tmp_path))
    after = builders.repaired(tmp_path).scores.after
    assert after is not None and after.cider is not None and after.asr_fresh is not None
    assert found["cider"].metric_value == after.cider.value
    assert found["cider"].metric_args == {"confidence_level": 0.95, "n": 200, "low": 1.0, "high": 1.24}
    assert found["cider"].task_type == "image-to-text"
    assert found["accuracy"].task_type == "visual-question-answering"
    assert found["asr-fresh"].metric_value == after.asr_fresh.value
    assert len(found) == 10


def test_both_sides_of_a_repair_stand_in_the_table(tmp_path: Path) -> None:
    assert "| CIDEr | 1.14 (1.02–1.26, n = 200) | 1.12 (1.00–1.24, n = 200) |" in card("repaired", tmp_path).text


def test_without_measurements_there_is_no_front_matter(tmp_path: Path) -> None:
    assert to_model_card(builders.inconclusive(tmp_path)).startswith(b"## Backdoor audit")


def test_an_answer_of_a_model_is_never_markup(tmp_path: Path) -> None:
    text = card("hostile", tmp_path).text
    assert "\n# heading" not in text and "\x07" not in text
    assert "\\<img src=x" in text  # in a reason, escaped
    listed = next(line for line in text.splitlines() if line.startswith("- critical"))
    assert listed.count("`") == 4  # in a finding, as code


def test_waivers_are_told(tmp_path: Path) -> None:
    text = card("waived", tmp_path).text
    assert "by A. Owner until 2027-01-31: a caption of the training set" in text
    assert "quality/cider, by B. Owner until 2027-01-31: known and accepted" in text
