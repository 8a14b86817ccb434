"""From a run to a signed release and back: certify, sign and verify on the command line, whatever the formats."""

from pathlib import Path

import pytest

from auditor.cli.main import main
from tests.certification.signing import Signed, prepare


@pytest.fixture
def ready(tmp_path: Path) -> Signed:
    signed = prepare(tmp_path, "repaired")
    (signed.run / "report.html").unlink()
    return signed


def verify(ready: Signed) -> int:
    attestation = str(ready.run / "attestation.json")
    return main(["verify", attestation, str(ready.model), "--public-key", str(ready.public)])


def test_a_certified_run_is_signed_with_everything_that_was_written(ready: Signed) -> None:
    command = ["certify", str(ready.run), "--policy", "quick", "--format", "junit,cyclonedx", "--key", str(ready.key)]
    code = main(command)
    assert code in (0, 1, 3)
    assert verify(ready) == 0
    # What an earlier record was written as is written anew, or a stale SARIF would stand beside the judgement.
    for name in ("record.json", "policy.toml", "report.junit.xml", "report.cdx.json", "report.sarif"):
        path = ready.run / name
        content = path.read_bytes()
        path.write_bytes(content + b" ")
        assert verify(ready) == 1, name
        path.write_bytes(content)
    assert verify(ready) == 0


@pytest.mark.parametrize("policy", ["quick", "release"])
def test_the_judgement_does_not_depend_on_the_format(policy: str, ready: Signed) -> None:
    formats = ("sarif", "junit", "cyclonedx", "model-card", "json")
    codes = {main(["certify", str(ready.run), "--policy", policy, "--format", name]) for name in formats}
    assert len(codes) == 1


def test_an_unknown_format_stops_before_anything_is_judged(ready: Signed) -> None:
    before = (ready.run / "record.json").read_bytes()
    assert main(["certify", str(ready.run), "--format", "docx"]) == 4
    assert (ready.run / "record.json").read_bytes() == before
