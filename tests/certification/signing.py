"""A signed run of each outcome on a small folder, and how the golden envelopes were made.

`python -m tests.certification.signing FOLDER` writes new golden ones; those of a released version stay for ever.
"""

import hashlib
import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from auditor.certification.attestation import sign_run
from auditor.certification.keys import KeyKind, PrivateKey
from auditor.checkpoint.manifest import build_manifest
from reports.naming import record_digest
from reports.record import AuditRecord, ModelFile, ModelInfo, save_record
from reports.writing import write_formats
from tests.reports import cases

FILES: Mapping[str, bytes] = MappingProxyType(
    {
        "config.json": b'{"model_type": "llava"}\n',
        "model.safetensors": bytes(range(256)) * 4,
        "tokenizer/vocab.txt": "ein Wört\n".encode(),
        ".hidden.json": b"{}\n",
    }
)
POLICY = b'name = "release"\nfail_on = "medium"\n'
# Of RFC 8032, section 7.1, test 1: a key that everybody has, for tests alone.
SEED = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
KINDS: tuple[KeyKind, ...] = ("ed25519", "ecdsa-p256")
OUTCOMES = ("clean", "backdoored", "repaired", "failed-repair", "inconclusive", "certified")


@dataclass(frozen=True)
class Signed:
    """What a test needs: the folders, and both halves of the key."""

    run: Path
    model: Path
    key: Path
    public: Path

    def copy(self, folder: Path) -> "Signed":
        """The same in another place, to break."""
        there = Path(shutil.copytree(self.run.parent, folder))
        return Signed(*(there / path.name for path in (self.run, self.model, self.key, self.public)))


def fixed_key(kind: KeyKind) -> PrivateKey:
    """The fixed key of the golden envelopes."""
    if kind == "ed25519":
        return PrivateKey(Ed25519PrivateKey.from_private_bytes(SEED))
    return PrivateKey(ec.derive_private_key(int.from_bytes(SEED, "big"), ec.SECP256R1()))


def write_model(folder: Path, extra: bytes = b"") -> ModelInfo:
    """The small folder, and what a record says of it."""
    for name, content in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content + extra)
    manifest = build_manifest(folder)
    files = [ModelFile(path=item.path, sha256=item.sha256, bytes=item.bytes) for item in manifest.files]
    return ModelInfo(path=str(folder), digest=manifest.digest, family="llava", files=files)


def prepare(folder: Path, outcome: str = "clean", kind: KeyKind = "ed25519") -> Signed:
    """A run folder with record, items, HTML and SARIF, its model, and a key; not signed yet."""
    run = folder / "run"
    record = _at(cases.CASES[outcome](run), folder)
    save_record(record, run / "record.json")
    (run / "items.jsonl").write_text('{"id": "a"}\n')
    (run / "report.html").write_text(f"<p>record sha256 {record_digest(record)}</p>\n")
    write_formats(record, run, ["sarif"])
    key = fixed_key(kind)
    (folder / "private.pem").write_bytes(key.pem(None))
    (folder / "public.pem").write_bytes(key.public.pem)
    judged = record.repaired_model if record.verdict.about == "repaired model" else record.model
    assert judged is not None
    return Signed(run, Path(judged.path), folder / "private.pem", folder / "public.pem")


def _at(record: AuditRecord, folder: Path) -> AuditRecord:
    """The record about real folders instead of made-up ones."""
    models = {"model": write_model(folder / "model")}
    if record.repaired_model is not None:
        models["repaired_model"] = write_model(folder / "repaired", extra=b" ")
    changes: dict[str, object] = dict(models)
    if record.certification is not None:
        digest = hashlib.sha256(POLICY).hexdigest()
        changes["certification"] = record.certification.model_copy(update={"policy_digest": digest})
    return record.model_copy(update=changes)


def make_golden(folder: Path) -> None:
    """One repaired run and its model for each kind of key; what no signature speaks of is taken away again."""
    os.environ["SOURCE_DATE_EPOCH"] = "1795305600"
    folder.mkdir(parents=True)
    os.chdir(folder)  # so that the records hold relative paths
    for kind in KINDS:
        ready = prepare(Path(kind), "certified", kind)
        sign_run(ready.run, ready.key, ready.model, POLICY)
        ready.key.unlink()
        shutil.rmtree(ready.run / "pictures")
        shutil.rmtree(ready.model.with_name("model"))


if __name__ == "__main__":
    make_golden(Path(sys.argv[1]))
