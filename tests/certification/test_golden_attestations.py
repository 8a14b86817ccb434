"""Attestations of released versions verify for ever, and a flipped bit in what they speak of is still found."""

import base64
import json
import re
import shutil
from pathlib import Path

import pytest

from auditor.certification.attestation import ATTESTATION, verify_attestation
from auditor.cli.main import main

GOLDEN = Path(__file__).parent / "golden"
ATTESTED = sorted(GOLDEN.glob("attestation-*/*"))


@pytest.mark.parametrize("folder", ATTESTED, ids=lambda folder: f"{folder.parent.name}-{folder.name}")
def test_a_golden_attestation_verifies(folder: Path, tmp_path: Path) -> None:
    found = verify_attestation(folder / "run" / ATTESTATION, folder / "repaired", folder / "public.pem")
    assert found.good and found.statement is not None and found.unchecked == ()
    assert found.checked == 9
    predicate = found.statement.predicate
    assert predicate["verdict"]["outcome"] == "pass" and predicate["policy"]["name"] == "release"
    assert predicate["scores"]["after"]["asr_fresh"] == {"value": 0.015, "low": 0.003, "high": 0.043, "n": 200}
    broken = Path(shutil.copytree(folder, tmp_path / "copy"))
    weights = broken / "repaired" / "model.safetensors"
    weights.write_bytes(b"\x01" + weights.read_bytes()[1:])
    changed = verify_attestation(broken / "run" / ATTESTATION, broken / "repaired", broken / "public.pem")
    assert [fault.name for fault in changed.faults] == ["model.safetensors"]


def test_the_golden_attestations_are_there() -> None:
    assert [f"{path.parent.name}/{path.name}" for path in ATTESTED] == [
        "attestation-1/ecdsa-p256",
        "attestation-1/ed25519",
    ]


def test_the_document_shows_the_golden_attestation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """docs/attestation.md quotes this one: its digests, its signature, and what verify says, before and after."""
    text = (Path(__file__).parents[2] / "docs" / "attestation.md").read_text("utf-8")
    folder = Path(shutil.copytree(GOLDEN / "attestation-1" / "ed25519", tmp_path / "copy"))
    envelope = json.loads((folder / "run" / ATTESTATION).read_bytes())
    payload = base64.b64decode(envelope["payload"])
    assert envelope["payload"][:60] in text and f"28 {envelope['payloadType']} {len(payload)} " in text
    assert envelope["signatures"][0]["sig"] in text
    quoted = set(re.findall(r'"sha256": "([0-9a-f]{64})"', text))
    assert quoted < {item["digest"]["sha256"] for item in json.loads(payload)["subject"]} and len(quoted) == 2
    named = set(re.findall(r"`(\w+)`", text.partition("| predicate |")[2].partition("\n\n")[0]))
    assert named >= set(json.loads(payload)["predicate"])
    said = ["verify", str(folder / "run" / ATTESTATION), str(folder / "repaired"), "--public-key"]
    assert main([*said, str(folder / "public.pem")]) == 0
    assert capsys.readouterr().out in text
    (folder / "repaired" / "pytorch_model.safetensors").write_bytes(b"new")
    for path in (folder / "repaired" / "model.safetensors", folder / "run" / "record.json"):
        path.write_bytes(path.read_bytes()[:-1] + b"?")
    assert main([*said, str(folder / "public.pem")]) == 1
    changed = capsys.readouterr().out.partition("\n")[2].partition("signed verdict")[0]
    assert changed and changed in text
