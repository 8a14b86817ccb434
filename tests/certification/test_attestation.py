"""A signed run verifies wherever it is moved to, and whatever was changed, taken away or added is named."""

import base64
import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from auditor.certification.attestation import ATTESTATION, DOCUMENTS, sign_run, verify_attestation
from auditor.certification.keys import write_keys
from auditor.errors import DataError, UnsafeError, UsageError
from reports.errors import RecordError
from reports.record import load_record, save_record
from tests.certification.signing import FILES, OUTCOMES, POLICY, Signed, prepare


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Signed]:
    """The run of an outcome, made once: its report takes a while to draw."""
    return cache(lambda outcome: prepare(tmp_path_factory.mktemp(outcome), outcome))


@pytest.fixture
def ready(made: Callable[[str], Signed], tmp_path: Path) -> Signed:
    return made("clean").copy(tmp_path / "copy")


def sign(ready: Signed, policy: bytes | None = POLICY) -> Path:
    return sign_run(ready.run, ready.key, ready.model, policy)


def faults(ready: Signed, path: Path | None = None) -> list[tuple[str, str]]:
    found = verify_attestation(path or ready.run / ATTESTATION, ready.model, ready.public)
    assert found.statement is not None
    return [(fault.state, fault.name) for fault in found.faults]


def statement(path: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(base64.b64decode(json.loads(path.read_bytes())["payload"]))
    return read


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_what_was_signed_verifies(outcome: str, made: Callable[[str], Signed], tmp_path: Path) -> None:
    ready = made(outcome).copy(tmp_path / "copy")
    found = verify_attestation(sign(ready), ready.model, ready.public)
    assert found.good and found.faults == () and found.unchecked == ()
    assert found.checked == len(FILES) + 5  # record, items, policy, HTML, SARIF
    assert found.statement is not None
    assert found.statement.predicate["verdict"]["outcome"] == load_record(ready.run / "record.json").verdict.outcome


def test_subjects_are_what_sha256sum_says(ready: Signed) -> None:
    data = statement(sign(ready))
    digests = {item["name"]: item["digest"]["sha256"] for item in data["subject"]}
    said = subprocess.run(
        ["sha256sum", *sorted(FILES)], cwd=ready.model, capture_output=True, text=True, check=True
    ).stdout  # fmt: skip
    listed = {line[66:]: line[:64] for line in said.splitlines()}
    assert {name: digest for name, digest in digests.items() if not name.startswith("run:")} == listed
    for name in ("record.json", "items.jsonl", "report.html", "report.sarif", "policy.toml"):
        assert digests[f"run:{name}"] == hashlib.sha256((ready.run / name).read_bytes()).hexdigest()
    assert len(digests) == len(data["subject"]) == len(FILES) + 5


def test_the_predicate_says_what_a_release_board_asks(made: Callable[[str], Signed], tmp_path: Path) -> None:
    ready = made("repaired").copy(tmp_path / "copy")
    record = load_record(ready.run / "record.json")
    predicate = statement(sign(ready))["predicate"]
    assert record.repaired_model is not None and record.scores.after is not None
    assert predicate["model"]["manifestSha256"] == record.repaired_model.digest
    assert predicate["givenModel"]["manifestSha256"] == record.model.digest
    assert predicate["verdict"]["about"] == "repaired model" and predicate["givenVerdict"]["outcome"] == "fail"
    assert predicate["scores"]["after"]["asr_fresh"] == {"value": 0.015, "low": 0.003, "high": 0.043, "n": 200}
    assert (
        set(predicate["scores"]["before"]) == set(predicate["scores"]["after"])
        and len(predicate["scores"]["after"]) == 10
    )
    digest = hashlib.sha256(POLICY).hexdigest()
    assert predicate["policy"] == {"name": "release", "sha256": digest, "requiredAssurance": None}
    assert predicate["controls"] is None and predicate["calibration"] is None
    assert predicate["findings"] == {
        "given": {"critical": 1, "low": 1},
        "judged": {"low": 1},
        "resolved": 1,
        "waived": 0,
    }
    assert (predicate["assurance"], predicate["failOn"], predicate["tool"]["name"]) == (
        "screened",
        "medium",
        "pcr-audit",
    )
    assert predicate["auditedAt"] == record.created


def test_the_subjects_of_a_repair_are_the_repaired_files(made: Callable[[str], Signed], tmp_path: Path) -> None:
    ready = made("repaired").copy(tmp_path / "copy")
    sign(ready)
    assert ready.model.name == "repaired" and faults(ready) == []
    given = verify_attestation(ready.run / ATTESTATION, ready.model.with_name("model"), ready.public)
    assert {fault.name for fault in given.faults} == set(FILES)


def test_a_moved_model_and_run_still_verify(ready: Signed, tmp_path: Path) -> None:
    sign(ready)
    shutil.move(ready.model, tmp_path / "elsewhere")
    shutil.move(ready.run, tmp_path / "archive")
    found = verify_attestation(tmp_path / "archive" / ATTESTATION, tmp_path / "elsewhere", ready.public)
    assert found.good and found.unchecked == ()


SIGNED_FILES = [*FILES, "run:record.json", "run:items.jsonl", "run:report.html", "run:report.sarif", "run:policy.toml"]


def path_of(ready: Signed, name: str) -> Path:
    return ready.run / name[4:] if name.startswith("run:") else ready.model / name


@pytest.mark.parametrize("name", SIGNED_FILES)
def test_a_flipped_bit_names_the_file(name: str, ready: Signed) -> None:
    sign(ready)
    content = path_of(ready, name).read_bytes()
    for place in {0, len(content) // 2, len(content) - 1}:
        changed = bytearray(content)
        changed[place] ^= 1
        path_of(ready, name).write_bytes(changed)
        assert faults(ready) == [("changed", name)]
    path_of(ready, name).write_bytes(content + b"\0")
    assert faults(ready) == [("changed", name)]


@pytest.mark.parametrize("name", SIGNED_FILES)
def test_a_file_that_was_taken_away_is_named(name: str, ready: Signed) -> None:
    sign(ready)
    path_of(ready, name).unlink()
    assert faults(ready) == [("missing", name)]


@pytest.mark.parametrize("name", ["extra.safetensors", "tokenizer/new.txt", "run:report.pdf", "run:report.junit.xml"])
def test_a_file_that_was_added_is_named(name: str, ready: Signed) -> None:
    sign(ready)
    path_of(ready, name).write_bytes(b"new")
    assert faults(ready) == [("added", name)]


def test_every_fault_is_named_at_once(ready: Signed) -> None:
    sign(ready)
    (ready.model / "config.json").write_text("{}")
    (ready.model / "model.safetensors").rename(ready.model / "model-1.safetensors")
    (ready.run / "record.json").write_text("{}")
    assert faults(ready) == [
        ("changed", "config.json"),
        ("added", "model-1.safetensors"),
        ("missing", "model.safetensors"),
        ("changed", "run:record.json"),
    ]


def test_two_files_that_swapped_their_contents_are_both_named(ready: Signed) -> None:
    sign(ready)
    one, two = ready.model / "config.json", ready.model / "tokenizer" / "vocab.txt"
    first, second = one.read_bytes(), two.read_bytes()
    one.write_bytes(second)
    two.write_bytes(first)
    assert faults(ready) == [("changed", "config.json"), ("changed", "tokenizer/vocab.txt")]


def test_another_key_proves_nothing(ready: Signed, tmp_path: Path) -> None:
    sign(ready)
    _, other = write_keys(tmp_path / "other")
    found = verify_attestation(ready.run / ATTESTATION, ready.model, other)
    assert not found.good and found.statement is None


def test_a_forged_statement_is_not_even_read(ready: Signed) -> None:
    path = sign(ready)
    envelope = json.loads(path.read_bytes())
    forged = base64.b64decode(envelope["payload"]).replace(b'"pass"', b'"fail"')
    path.write_text(json.dumps({**envelope, "payload": base64.b64encode(forged).decode()}))
    found = verify_attestation(path, ready.model, ready.public)
    assert found.statement is None and not found.good


def test_without_the_run_the_model_alone_is_checked_and_that_is_said(ready: Signed, tmp_path: Path) -> None:
    alone = tmp_path / "alone" / ATTESTATION
    alone.parent.mkdir()
    shutil.copy(sign(ready), alone)
    found = verify_attestation(alone, ready.model, ready.public)
    assert found.good and "run:record.json" in found.unchecked and len(found.unchecked) == 5
    assert verify_attestation(alone, ready.model, ready.public, ready.run).unchecked == ()
    empty = tmp_path / "empty"
    empty.mkdir()
    named = verify_attestation(alone, ready.model, ready.public, empty)
    assert {fault.state for fault in named.faults} == {"missing"} and len(named.faults) == 5


def test_an_attestation_may_travel_inside_the_model_folder(ready: Signed) -> None:
    inside = Path(shutil.copy(sign(ready), ready.model / ATTESTATION))
    assert verify_attestation(inside, ready.model, ready.public).good
    assert faults(ready) == [("added", ATTESTATION)]  # to the one in the run folder it is a new file


def test_the_model_that_was_judged_and_no_other_is_signed(ready: Signed) -> None:
    (ready.model / "config.json").write_text("{}")
    with pytest.raises(UsageError, match=r"config\.json \(changed\)") as error:
        sign(ready)
    assert error.value.exit_code == 4
    assert not (ready.run / ATTESTATION).exists() and not (ready.run / "policy.toml").exists()


def test_a_report_of_another_record_is_not_signed(ready: Signed) -> None:
    record = load_record(ready.run / "record.json")
    save_record(record.model_copy(update={"seed": 8}), ready.run / "record.json")
    with pytest.raises(UsageError, match="another record"):
        sign(ready)


def test_a_policy_that_contradicts_the_run_is_not_signed(ready: Signed) -> None:
    (ready.run / "policy.toml").write_bytes(POLICY)
    sign(ready, None)
    assert statement(ready.run / ATTESTATION)["predicate"]["policy"]["name"] == "release"
    with pytest.raises(UsageError, match="is not the policy"):
        sign(ready, POLICY + b"\n")


def test_a_certified_run_says_what_it_was_judged_by_and_with_what_power(
    made: Callable[[str], Signed], tmp_path: Path
) -> None:
    ready = made("certified").copy(tmp_path / "copy")
    predicate = statement(sign(ready))["predicate"]
    assert predicate["policy"]["requiredAssurance"] == predicate["assurance"] == "certified"
    assert predicate["calibration"] == {"source": "benign fine-tunes of the user", "negatives": 19, "pValue": 0.5}
    strata = [(item["name"], item["found"]["hits"], item["found"]["trials"]) for item in predicate["controls"]["power"]]
    assert strata == [("high", 2, 2), ("medium", 0, 1)]
    assert predicate["controls"]["falseAlarms"] == {"hits": 0, "trials": 3, "low": 0.0, "high": 0.708}


def test_a_certified_run_is_signed_with_its_own_policy_alone(made: Callable[[str], Signed], tmp_path: Path) -> None:
    ready = made("certified").copy(tmp_path / "copy")
    for given in (POLICY + b"#", None):  # another one, and none where the run has been parted from its own
        with pytest.raises(UsageError, match="not the policy that the run is judged by"):
            sign(ready, given)
    (ready.run / "policy.toml").write_bytes(POLICY)
    sign(ready, None)
    assert faults(ready) == []


def test_without_a_policy_none_is_claimed(ready: Signed) -> None:
    assert statement(sign(ready, None))["predicate"]["policy"] is None
    assert not (ready.run / "policy.toml").exists()


def test_signing_again_replaces_the_attestation(ready: Signed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1795305600")
    first = sign(ready).read_bytes()
    assert sign(ready).read_bytes() == first
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1795305601")
    assert sign(ready).read_bytes() != first and faults(ready) == []


def test_paths_that_are_not_there_are_named(ready: Signed, tmp_path: Path) -> None:
    path = sign(ready)
    with pytest.raises(UsageError, match="none"):
        verify_attestation(tmp_path / "none", ready.model, ready.public)
    with pytest.raises(UsageError, match="no such folder"):
        verify_attestation(path, tmp_path / "none", ready.public)
    with pytest.raises(UsageError, match="is no run folder"):
        verify_attestation(path, ready.model, ready.public, tmp_path / "none")
    with pytest.raises(RecordError):
        sign_run(tmp_path / "none", ready.key, ready.model)
    with pytest.raises(DataError, match="is no signed attestation"):
        verify_attestation(ready.run / "record.json", ready.model, ready.public)


def test_a_link_that_leaves_the_model_is_refused(ready: Signed) -> None:
    path = sign(ready)
    (ready.model / "config.json").unlink()
    (ready.model / "config.json").symlink_to("/etc/hostname")
    with pytest.raises(UnsafeError, match=r"config\.json"):
        verify_attestation(path, ready.model, ready.public)


def test_every_document_that_a_run_is_written_as_is_signed() -> None:
    assert {"report.pdf", "report.cdx.json", "report.model-card.md", "record.scan.json"} <= DOCUMENTS.keys()
