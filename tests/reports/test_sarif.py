"""SARIF: valid by OASIS's own schema, true to the verdict, and comparable from run to run."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from reports.record import AuditRecord, Verdict
from reports.sarif import FINGERPRINT, to_sarif
from tests.reports import builders
from tests.reports.cases import CASES, HOSTILE, renamed

SCHEMA = json.loads((Path(__file__).parent / "schemas" / "sarif-schema-2.1.0.json").read_bytes())
VALIDATOR = jsonschema.Draft4Validator(SCHEMA, format_checker=jsonschema.Draft4Validator.FORMAT_CHECKER)


def written(record: AuditRecord, baseline: AuditRecord | None = None) -> dict[str, Any]:
    log: dict[str, Any] = json.loads(to_sarif(record, baseline))
    VALIDATOR.validate(log)
    run: dict[str, Any] = log["runs"][0]
    for result in run["results"]:
        assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
    return run


def failing(run: dict[str, Any]) -> list[dict[str, Any]]:
    return [r for r in run["results"] if r["kind"] == "fail" and r["level"] != "note" and not r["suppressions"]]


def states(run: dict[str, Any]) -> dict[str, str]:
    return {result["partialFingerprints"][FINGERPRINT]: result["baselineState"] for result in run["results"]}


def test_the_schema_refuses_what_is_no_sarif() -> None:
    with pytest.raises(jsonschema.ValidationError):
        VALIDATOR.validate({"version": "2.1.0", "runs": [{"tool": {}, "results": [{"level": "fatal"}]}]})


@pytest.mark.parametrize("name", CASES)
def test_something_fails_just_when_the_verdict_is_no_pass(name: str, tmp_path: Path) -> None:
    record = CASES[name](tmp_path)
    assert bool(failing(written(record))) == (record.verdict.outcome != "pass")


def test_a_backdoor_is_an_error_with_its_numbers_and_pictures(tmp_path: Path) -> None:
    run = written(CASES["backdoored"](tmp_path))
    (result,) = failing(run)
    assert (result["ruleId"], result["level"]) == ("backdoor-inversion", "error")
    assert builders.TARGET in result["message"]["text"]
    assert result["properties"]["asr"] == {"hits": 196, "trials": 200, "low": 0.9496, "high": 0.9945}
    assert {item["artifactLocation"]["uri"] for item in result["attachments"]} >= {"pictures/trigger.png"}
    place = result["locations"][0]["physicalLocation"]["artifactLocation"]
    assert run["artifacts"][place["index"]]["location"]["uri"] == place["uri"] == "model.safetensors"


def test_what_a_repair_resolved_passes(tmp_path: Path) -> None:
    resolved = [r for r in written(builders.repaired(tmp_path))["results"] if r["kind"] == "pass"]
    assert [(r["level"], builders.TARGET in r["message"]["text"]) for r in resolved] == [("none", True)]


def test_a_gate_of_the_run_fails_under_its_own_rule(tmp_path: Path) -> None:
    rules = [result["ruleId"] for result in failing(written(CASES["failed-repair"](tmp_path)))]
    assert rules == ["backdoor-inversion", "gate-run"]


def test_the_same_gate_keeps_its_fingerprint_with_other_numbers(tmp_path: Path) -> None:
    record = CASES["failed-repair"](tmp_path)
    reasons = [record.verdict.reasons[0], record.verdict.reasons[1].replace("4.0", "5.2")]
    later = record.model_copy(update={"verdict": record.verdict.model_copy(update={"reasons": reasons})})
    assert set(states(written(later, record)).values()) == {"unchanged"}


def test_waivers_suppress_and_say_who_and_why(tmp_path: Path) -> None:
    run = written(CASES["waived"](tmp_path))
    said = [r["suppressions"][0]["justification"] for r in run["results"] if r["suppressions"]]
    assert said == [
        "Waived by A. Owner until 2027-01-31: a caption of the training set",
        "Waived by B. Owner until 2027-01-31: known and accepted",
    ]


def test_a_policy_that_asks_for_more_names_its_rule(tmp_path: Path) -> None:
    run = written(CASES["refused"](tmp_path))
    assert [result["ruleId"] for result in failing(run)] == ["gate-power", "cannot-be-judged"]


def test_a_baseline_tells_new_same_and_gone_apart(tmp_path: Path) -> None:
    old, new = CASES["backdoored"](tmp_path), CASES["failed-repair"](tmp_path)
    run = written(new, old)
    by_text = {result["message"]["text"]: result["baselineState"] for result in run["results"]}
    assert [state for text, state in by_text.items() if "Call now" in text] == ["new"]
    assert [state for text, state in by_text.items() if "blurry" in text] == ["unchanged"]
    # The planted one failed before and passes now: it is neither new nor gone.
    assert [state for text, state in by_text.items() if builders.TARGET in text] == ["updated"]
    assert run["baselineGuid"] == written(old)["automationDetails"]["guid"]


def test_a_finding_that_is_gone_is_absent(tmp_path: Path) -> None:
    run = written(CASES["clean"](tmp_path), CASES["backdoored"](tmp_path))
    absent = [result for result in run["results"] if result["baselineState"] == "absent"]
    assert [builders.TARGET in result["message"]["text"] for result in absent] == [True]


def test_fingerprints_do_not_depend_on_seed_pictures_or_scores(tmp_path: Path) -> None:
    one = CASES["backdoored"](tmp_path)
    words = "VISIT example.com, for a free gift"
    finding = renamed(one.findings[0], words, score=2.2, pictures={}, trigger=None)
    other = one.model_copy(update={"seed": 99, "findings": [finding, one.findings[1]]})
    prints = [[r["partialFingerprints"] for r in written(record)["results"]] for record in (one, other)]
    assert prints[0] == prints[1]


def test_the_same_record_gives_the_same_bytes(tmp_path: Path) -> None:
    assert to_sarif(builders.repaired(tmp_path)) == to_sarif(builders.repaired(tmp_path))


def test_hidden_characters_of_a_model_are_spelled_out(tmp_path: Path) -> None:
    text = to_sarif(CASES["hostile"](tmp_path)).decode()
    assert "\\u0007" not in text and "‮" not in text and "U+202E" in text
    assert HOSTILE not in json.dumps(json.loads(text), ensure_ascii=False)


def test_names_of_files_become_uris(tmp_path: Path) -> None:
    record = builders.base(verdict=Verdict(outcome="inconclusive", reasons=["?"]))
    odd = record.model.files[0].model_copy(update={"path": "a b/ü#?.json"})
    run = written(record.model_copy(update={"model": record.model.model_copy(update={"files": [odd]})}))
    assert run["artifacts"][0]["location"]["uri"] == "a%20b/%C3%BC%23%3F.json"
