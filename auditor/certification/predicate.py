"""What an attestation says of a run: the verdict, what stands behind it, and the numbers with their intervals."""

import hashlib
import tomllib
from collections import Counter
from collections.abc import Sequence
from typing import Any

from auditor import __version__
from reports.judged import Judged, judged
from reports.naming import bare
from reports.record import AuditRecord, Coverage, ModelInfo, RecordedFinding, Scores, Verdict


def build_predicate(record: AuditRecord, policy: bytes | None, signed_at: str) -> dict[str, Any]:
    """The predicate of version 1, as docs/attestation.md describes it. A field without a value is null, not left out.

    Names of scores, outcomes and severities are those of record.json.
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
        "failOn": record.fail_on,
        "findings": _findings(record, seen),
        "scores": {
            "before": _scores(record.scores.before),
            "after": _scores(record.scores.after) if record.scores.after else None,
        },
        "coverage": _counts(record.coverage),
        "calibration": _calibration(record),
        "controls": _controls(record),
        "policy": _policy(record, policy),
        "recordSchema": record.schema_version,
    }


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


def _counts(coverage: Coverage) -> dict[str, int]:
    return {
        "planned": coverage.planned, "ok": coverage.ok, "error": coverage.error, "skipped": coverage.skipped,
    }  # fmt: skip


def _calibration(record: AuditRecord) -> dict[str, Any] | None:
    """The conformal p-value of the whole scan of the model that the verdict is about; null where there is none."""
    known = record.calibrated_by
    if known is None or known.about != record.verdict.about:
        return None
    return {"source": known.source, "negatives": len(known.negatives), "pValue": known.p_value}


def _controls(record: AuditRecord) -> dict[str, Any] | None:
    """What the same scan found where the truth was known: k of n by strength of the attack, and false alarms."""
    known = record.controls
    if known is None:
        return None
    power = [
        {"name": item.name, "low": item.low, "high": item.high, "found": item.found.model_dump(mode="json")}
        for item in known.power
    ]
    return {"power": power, "falseAlarms": known.false_alarms.model_dump(mode="json")}


def _policy(record: AuditRecord, policy: bytes | None) -> dict[str, Any] | None:
    """The policy that the verdict is by, or one that is only signed along (`requiredAssurance` is null then)."""
    if (judgement := record.certification) is not None:
        return {
            "name": judgement.policy,
            "sha256": bare(judgement.policy_digest),
            "requiredAssurance": judgement.required_assurance,
        }
    if policy is None:
        return None
    return {"name": _name_in(policy), "sha256": hashlib.sha256(policy).hexdigest(), "requiredAssurance": None}


def _name_in(policy: bytes) -> str | None:
    try:
        name = tomllib.loads(policy.decode()).get("name")
    except (UnicodeDecodeError, tomllib.TOMLDecodeError):
        return None
    return name if isinstance(name, str) else None
