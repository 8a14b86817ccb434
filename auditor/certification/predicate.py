"""What an attestation says of a run: the verdict, what stands behind it, and the numbers with their intervals."""

import tomllib
from collections import Counter
from collections.abc import Sequence
from typing import Any

from auditor import __version__
from reports.judged import Judged, judged
from reports.naming import bare
from reports.record import AuditRecord, ModelInfo, RecordedFinding, Scores, Verdict


def build_predicate(record: AuditRecord, policy: bytes | None, signed_at: str) -> dict[str, Any]:
    """The predicate of version 1, as docs/attestation.md describes it. A field without a value is null, not left out.

    Score names, outcomes and severities are those of record.json.
    """
    seen = judged(record)
    return {
        "tool": {"name": record.tool.name, "version": record.tool.version, "signedWith": __version__},
        "auditedAt": record.created,
        "signedAt": signed_at,
        "model": _model(seen.model),
        "givenModel": _model(record.model) if seen.is_repaired else None,
        "data": {"sha256": bare(record.data.digest), "samples": record.data.samples},
        "verdict": _verdict(record.verdict),
        "givenVerdict": _verdict(record.scan_verdict) if record.scan_verdict else None,
        "assurance": record.assurance,
        "calibration": record.calibration,
        "failOn": record.fail_on,
        "findings": _findings(record, seen),
        "scores": {
            "before": _scores(record.scores.before),
            "after": _scores(record.scores.after) if record.scores.after else None,
        },
        "coverage": {
            key: getattr(record.coverage, key) for key in ("planned", "ok", "error", "skipped")
        },
        "policy": {"name": _policy_name(record, policy)} if policy is not None else None,
        "recordSchema": record.schema_version,
    }  # fmt: skip


def _model(model: ModelInfo) -> dict[str, Any]:
    """`manifestSha256` is the digest over the folder's canonical lines, not that of one file."""
    return {"manifestSha256": bare(model.digest), "family": model.family, "files": len(model.files)}


def _verdict(verdict: Verdict) -> dict[str, Any]:
    return {"outcome": verdict.outcome, "about": verdict.about, "reasons": list(verdict.reasons)}


def _findings(record: AuditRecord, seen: Judged) -> dict[str, Any]:
    """How many of each severity, in the model as given and in the judged one, and what the repair did away with."""
    return {
        "given": _severities(record.findings),
        "judged": _severities(seen.findings),
        "resolved": len(seen.resolved),
        "waived": len(seen.waivers),
    }


def _severities(findings: Sequence[RecordedFinding]) -> dict[str, int]:
    counted = Counter(finding.severity for finding in findings)
    return dict(sorted(counted.items()))


def _scores(scores: Scores) -> dict[str, Any]:
    """Each measured score with its interval and n."""
    return {
        name: measure.model_dump(mode="json")
        for name in type(scores).model_fields
        if name != "matchers" and (measure := scores.of(name)) is not None
    }


def _policy_name(record: AuditRecord, policy: bytes) -> str | None:
    """The name that the run was certified under, else the one in the policy itself."""
    certification = getattr(record, "certification", None)
    if certification is not None:
        return str(certification.policy)
    try:
        name = tomllib.loads(policy.decode()).get("name")
    except (UnicodeDecodeError, tomllib.TOMLDecodeError):
        return None
    return name if isinstance(name, str) else None
