"""A copy of a record that may leave the house: numbers, targets and verdict stay, data and working triggers go."""

import hashlib

from reports.record import AuditRecord, RecordedFinding, canonical_bytes


def redact(record: AuditRecord) -> AuditRecord:
    """The record without pictures, prompts, answers, sample names and trigger files; its limits name the full one.

    What a finding says (target, rates, decoys, severity) stays, since the verdict rests on it.
    """
    digest = hashlib.sha256(canonical_bytes(record)).hexdigest()
    note = (
        "Redacted: pictures, prompts, answers, attribution maps and trigger files are left out; "
        f"the full record has SHA-256 {digest}."
    )
    after = record.findings_after
    return record.model_copy(
        update={
            "redacted": True,
            "limits": [note, *record.limits],
            "findings": [_bare(finding) for finding in record.findings],
            "findings_after": None if after is None else [_bare(finding) for finding in after],
            "attribution": [],
            "answers": [],
            "coverage": record.coverage.model_copy(update={"problems": []}),
            "search": record.search.model_copy(update={"prompts": []}),
        }
    )


def _bare(finding: RecordedFinding) -> RecordedFinding:
    """Without what shows or names a sample (notes name the suspects of a group), and without a trigger that works."""
    trigger = finding.trigger and finding.trigger.model_copy(update={"path": None, "text": None})
    return finding.model_copy(update={"trigger": trigger, "pictures": {}, "examples": [], "notes": []})
