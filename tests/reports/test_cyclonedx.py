"""CycloneDX: the whole bill, with the model card that the library does not know, holds to the official 1.6 schema."""

import json
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from reports.cyclonedx import to_cyclonedx
from reports.record import AuditRecord
from reports.wording import ROWS
from tests.reports import builders
from tests.reports.cases import CASES

VALIDATOR = JsonStrictValidator(SchemaVersion.V1_6)


def written(record: AuditRecord) -> dict[str, Any]:
    text = to_cyclonedx(record).decode()
    assert VALIDATOR.validate_str(text) is None
    bom: dict[str, Any] = json.loads(text)
    return bom


@pytest.mark.parametrize("name", CASES)
def test_every_bill_is_valid_and_says_the_verdict(name: str, tmp_path: Path) -> None:
    record = CASES[name](tmp_path)
    component = written(record)["metadata"]["component"]
    properties = {item["name"]: item["value"] for item in component["properties"]}
    assert component["type"] == "machine-learning-model"
    assert properties["pcr-audit:verdict"] == record.verdict.outcome


def test_the_schema_looks_into_the_model_card(tmp_path: Path) -> None:
    bom = written(builders.repaired(tmp_path))
    metrics = bom["metadata"]["component"]["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]
    metrics[0]["value"] = 0.5  # the schema asks for text
    assert VALIDATOR.validate_str(json.dumps(bom)) is not None


def test_every_measured_score_is_there_with_its_interval(tmp_path: Path) -> None:
    record = builders.repaired(tmp_path)
    component = written(record)["metadata"]["component"]
    given = component["pedigree"]["ancestors"][0]
    for card, scores in ((component["modelCard"], record.scores.after), (given["modelCard"], record.scores.before)):
        assert scores is not None
        metrics = {item["type"]: item for item in card["quantitativeAnalysis"]["performanceMetrics"]}
        for row in ROWS:
            measure = scores.of(row.field)
            assert measure is not None
            interval = metrics[row.field]["confidenceInterval"]
            found = (metrics[row.field]["value"], interval["lowerBound"], interval["upperBound"])
            assert tuple(map(float, found)) == (measure.value, measure.low, measure.high)


def test_every_file_of_the_judged_model_has_its_digest(tmp_path: Path) -> None:
    record = builders.repaired(tmp_path)
    assert record.repaired_model is not None
    component = written(record)["metadata"]["component"]
    files = {item["name"]: item["hashes"][0] for item in component["components"]}
    assert files == {f.path: {"alg": "SHA-256", "content": f.sha256} for f in record.repaired_model.files}


def test_the_same_record_gives_the_same_bytes(tmp_path: Path) -> None:
    assert to_cyclonedx(builders.clean_pass(tmp_path)) == to_cyclonedx(builders.clean_pass(tmp_path))
