"""Signs a run together with the model it judged, and finds every file that is no longer what was signed."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from auditor.certification.envelope import PAYLOAD_TYPE, read_envelope, seal
from auditor.certification.keys import load_private_key, load_public_key
from auditor.certification.policy import POLICY
from auditor.certification.predicate import build_predicate
from auditor.certification.statement import (
    RUN_PREFIX,
    Statement,
    Subject,
    check_distinct,
    check_name,
    read_statement,
)
from auditor.checkpoint.manifest import Manifest, build_manifest
from auditor.clock import now
from auditor.errors import DataError, UsageError
from reports.files import write_atomically
from reports.judged import judged
from reports.naming import bare
from reports.record import AuditRecord, canonical_bytes, load_record
from reports.writing import FORMATS

ATTESTATION = "attestation.json"
RECORD = "record.json"
DOCUMENTS: Mapping[str, str] = MappingProxyType(
    {
        RECORD: "record",
        "record.scan.json": "record",
        "items.jsonl": "items",
        POLICY: "policy",
        **dict.fromkeys(FORMATS.values(), "report"),
    }
)
"""Files of the run folder that are signed where they are there, with their role; any other is not spoken of."""


@dataclass(frozen=True)
class Fault:
    """A file that is not as it was signed; `name` as in the statement."""

    name: str
    state: Literal["changed", "missing", "added"]


@dataclass(frozen=True)
class Verification:
    """What came of a check. Without `statement` no signature fits the key, and nothing else was looked at.

    `checked` counts the files that are as they were signed; `unchecked` names those that were not to be had.
    """

    key_id: str
    statement: Statement | None = None
    faults: tuple[Fault, ...] = ()
    checked: int = 0
    unchecked: tuple[str, ...] = ()

    @property
    def good(self) -> bool:
        return self.statement is not None and not self.faults


def sign_run(run: Path, key: Path, model: Path, policy: bytes | None = None) -> Path:
    """Writes the run's attestation and returns its path; `model` is the folder that the verdict is about.

    `policy` is put beside the record as policy.toml. Raises UsageError when the model is not the one that was judged,
    when a report was made from another record, or when the key cannot be used; then nothing is written.
    """
    record = load_record(run / RECORD)
    private = load_private_key(key)
    manifest = build_manifest(model)
    _check_model(record, manifest, model)
    _check_reports(record, run)
    known = _check_policy(record, run, policy)
    if policy is not None and not (run / POLICY).exists():
        write_atomically(run / POLICY, policy)
    statement = Statement((*_model_subjects(manifest), *_run_subjects(run)), build_predicate(record, known, now()))
    check_distinct((subject.name for subject in statement.subjects), str(model))
    target = run / ATTESTATION
    write_atomically(target, seal(statement.to_bytes(), private).to_bytes())
    return target


def verify_attestation(attestation: Path, model: Path, public_key: Path, run: Path | None = None) -> Verification:
    """Checks the signature, then every file of the model folder and of the run, wherever both have been moved to.

    Without `run` the folder of the attestation is taken, if it holds any of the signed documents. Raises UsageError for
    paths that are not there and for keys and files that are of another kind.
    """
    key = load_public_key(public_key)
    envelope = read_envelope(_read(attestation), str(attestation))
    if not envelope.signed_by(key):
        return Verification(key.id)
    if envelope.payload_type != PAYLOAD_TYPE:
        raise DataError(
            "is signed, but is no in-toto statement", where=str(attestation), got=envelope.payload_type[:80],
            expected=PAYLOAD_TYPE, todo="give the attestation of a run",
        )  # fmt: skip
    statement = read_statement(envelope.payload, str(attestation))
    signed = statement.of_role("model")
    faults, there = _compare(signed, _model_files(model, attestation))
    documents = statement.of_role(*set(DOCUMENTS.values()))
    found = _documents(run if run is not None else attestation.parent)
    if run is None and not found.keys() & documents.keys():
        return Verification(key.id, statement, faults, there, tuple(sorted(documents)))
    more, also = _compare(documents, found)
    return Verification(key.id, statement, (*faults, *more), there + also)


def judged_folder(run: Path) -> Path:
    """The folder of the checkpoint that a run's verdict is about, as its record names it."""
    return Path(judged(load_record(run / RECORD)).model.path)


def _compare(signed: Mapping[str, str], found: Mapping[str, str]) -> tuple[tuple[Fault, ...], int]:
    """The faults in the order of their names, and how many files are as they were signed."""
    faults = [
        Fault(name, "added" if name not in signed else "missing" if name not in found else "changed")
        for name in sorted(signed.keys() | found.keys())
        if signed.get(name) != found.get(name)
    ]
    return tuple(faults), sum(found.get(name) == digest for name, digest in signed.items())


def _model_files(model: Path, attestation: Path) -> dict[str, str]:
    """Name to digest of the model's files; an attestation that was put into the folder is none of them."""
    own = attestation.resolve()
    return {item.path: item.sha256 for item in build_manifest(model).files if (model / item.path).resolve() != own}


def _documents(run: Path) -> dict[str, str]:
    if not run.is_dir():
        raise UsageError(
            "is no run folder", where=str(run), got="a file" if run.is_file() else "nothing",
            expected="the folder that holds record.json", todo="give --run RUN",
        )  # fmt: skip
    return {
        RUN_PREFIX + name: hashlib.sha256(_read(run / name)).hexdigest()
        for name in DOCUMENTS
        if (run / name).is_file()
    }  # fmt: skip


def _model_subjects(manifest: Manifest) -> list[Subject]:
    for item in manifest.files:
        check_name(item.path, item.path)
    return [Subject(item.path, item.sha256, "model") for item in manifest.files]


def _run_subjects(run: Path) -> list[Subject]:
    found = _documents(run)
    return [Subject(name, digest, DOCUMENTS[name.removeprefix(RUN_PREFIX)]) for name, digest in found.items()]


def _check_model(record: AuditRecord, manifest: Manifest, model: Path) -> None:
    known = judged(record).model
    digest = bare(known.digest)
    if manifest.digest != digest:
        then = {item.path: item.sha256 for item in known.files}
        faults, _ = _compare(then, {item.path: item.sha256 for item in manifest.files})
        named = ", ".join(f"{fault.name} ({fault.state})" for fault in faults[:3]) or "the same names and bytes"
        raise UsageError(
            f"is not the {record.verdict.about} that this run judged", where=str(model),
            got=f"sha256 {manifest.digest}: {named}", expected=f"sha256 {digest}",
            todo="give that folder as --model, or audit this one",
        )  # fmt: skip


def _check_reports(record: AuditRecord, run: Path) -> None:
    """A report that was made from an earlier record must not be signed with this one. A PDF hides its text."""
    canonical = canonical_bytes(record)
    digests = (hashlib.sha256(canonical).hexdigest(), hashlib.sha256(_read(run / RECORD)).hexdigest())
    for kind, name in FORMATS.items():
        if kind == "pdf" or not (run / name).is_file():
            continue
        text = _read(run / name)
        if text != canonical and not any(digest.encode() in text for digest in digests):
            raise UsageError(
                "was made from another record", where=str(run / name), got="another record's digest, or none",
                expected=f"sha256 {digests[0]}", todo="write it again with `pcr-audit report`, or remove it",
            )  # fmt: skip


def _check_policy(record: AuditRecord, run: Path, policy: bytes | None) -> bytes | None:
    """The policy that the run stands under: the one given, or the one beside the record; they may not differ."""
    path = run / POLICY
    beside = _read(path) if path.is_file() else None
    known = beside if policy is None else policy
    wanted = [hashlib.sha256(content).hexdigest() for content in (beside, policy) if content is not None]
    if record.certification is not None:
        wanted.append(bare(record.certification.policy_digest))
    if len(set(wanted)) > 1 or (wanted and known is None):
        raise UsageError(
            "is not the policy that the run is judged by", where=str(path),
            got="no such file" if beside is None else f"sha256 {wanted[0]}", expected=f"sha256 {wanted[-1]}",
            todo="certify the run by the policy that is to be signed",
        )  # fmt: skip
    return known


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(
            "cannot be read", where=str(path), got=error.strerror or str(error), expected="a file",
            todo="check the path and its permissions",
        ) from error  # fmt: skip
