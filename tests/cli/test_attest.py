"""`keygen`, `attest` and `verify` as a person types them: exit codes and words."""

import json
import stat
from pathlib import Path

import pytest

from auditor.cli.main import main
from tests.certification.signing import Signed, prepare


@pytest.fixture
def ready(tmp_path: Path) -> Signed:
    return prepare(tmp_path, "repaired")


def attested(ready: Signed) -> Path:
    assert main(["attest", str(ready.run), "--key", str(ready.key)]) == 0
    return ready.run / "attestation.json"


def verify(ready: Signed, *more: str) -> int:
    path = str(ready.run / "attestation.json")
    return main(["verify", path, str(ready.model), "--public-key", str(ready.public), *more])


def test_a_new_key_signs_and_verifies(ready: Signed, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keys = tmp_path / "keys"
    assert main(["keygen", "--out", str(keys), "--type", "ecdsa-p256"]) == 0
    assert stat.S_IMODE((keys / "private.pem").stat().st_mode) == 0o600
    assert main(["attest", str(ready.run), "--key", str(keys / "private.pem")]) == 0
    said = ["verify", str(ready.run / "attestation.json"), str(ready.model), "--public-key", str(keys / "public.pem")]
    capsys.readouterr()
    assert main(said) == 0
    out = capsys.readouterr().out
    assert "signature: good" in out and "files: 8 as signed, 0 not" in out
    assert "signed verdict: PASS (screened) on the repaired model, policy none" in out
    assert main(["keygen", "--out", str(keys)]) == 4


def test_the_model_is_found_where_the_record_says_unless_it_is_named(ready: Signed, tmp_path: Path) -> None:
    attested(ready)
    moved = ready.model.rename(tmp_path / "moved")
    assert main(["attest", str(ready.run), "--key", str(ready.key)]) == 4
    assert main(["attest", str(ready.run), "--key", str(ready.key), "--model", str(moved)]) == 0


def test_a_flipped_byte_is_named_and_exits_1(ready: Signed, capsys: pytest.CaptureFixture[str]) -> None:
    attested(ready)
    weights = ready.model / "model.safetensors"
    weights.write_bytes(b"\x01" + weights.read_bytes()[1:])
    (ready.run / "report.pdf").write_bytes(b"forged")
    capsys.readouterr()
    assert verify(ready) == 1
    out = capsys.readouterr().out
    assert "changed: model.safetensors\n" in out and "added: run:report.pdf\n" in out


def test_another_key_exits_1_and_says_so(ready: Signed, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    attested(ready)
    assert main(["keygen", "--out", str(tmp_path / "other")]) == 0
    ready.public.write_bytes((tmp_path / "other" / "public.pem").read_bytes())
    capsys.readouterr()
    assert verify(ready) == 1
    out = capsys.readouterr().out
    assert "signature: NOT by key" in out and "verdict" not in out


def test_a_signed_fail_verifies_but_is_no_pass(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ready = prepare(tmp_path, "backdoored")
    attested(ready)
    assert verify(ready) == 0
    assert "signed verdict: FAIL" in capsys.readouterr().out
    assert verify(ready, "--require-pass") == 1


def test_require_pass_is_met_by_a_pass(ready: Signed) -> None:
    attested(ready)
    assert verify(ready, "--require-pass") == 0


@pytest.mark.parametrize("wrong", ["attestation", "model", "public_key", "run", "kind_of_key", "kind_of_file"])
def test_bad_paths_and_keys_exit_4_with_a_way_out(
    wrong: str, ready: Signed, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = {"attestation": attested(ready), "model": ready.model, "public_key": ready.public, "run": ready.run}
    if wrong == "kind_of_key":
        given["public_key"] = ready.key
    elif wrong == "kind_of_file":
        given["attestation"] = ready.run / "record.json"
    else:
        given[wrong] = tmp_path / "none"
    capsys.readouterr()
    command = ["verify", str(given["attestation"]), str(given["model"]), "--run", str(given["run"])]
    assert main([*command, "--public-key", str(given["public_key"])]) == 4
    said = capsys.readouterr()
    assert said.out == "" and said.err.startswith("error: ") and "Traceback" not in said.err
    assert "what to do" in said.err


def test_a_run_that_is_none_cannot_be_signed(ready: Signed, tmp_path: Path) -> None:
    assert main(["attest", str(tmp_path), "--key", str(ready.key)]) == 4
    assert main(["attest", str(ready.run), "--key", str(ready.public)]) == 4
    assert not (ready.run / "attestation.json").exists()


def test_an_attestation_is_one_line_of_json(ready: Signed) -> None:
    raw = attested(ready).read_bytes()
    assert raw.count(b"\n") == 1 and set(json.loads(raw)) == {"payload", "payloadType", "signatures"}
