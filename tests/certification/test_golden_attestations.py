"""Attestations of released versions verify for ever, and a flipped bit in what they speak of is still found."""

import shutil
from pathlib import Path

import pytest

from auditor.certification.attestation import ATTESTATION, verify_attestation

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
