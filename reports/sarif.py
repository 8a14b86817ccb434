"""SARIF 2.1.0: the findings and failed gates of the judged model, for code scanning and whatever else reads it."""

import json
import re
import shlex
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from probes.finding import SEVERITIES
from reports.formats import base_name, measure_text
from reports.judged import Judged, Rule, Waiver, judged
from reports.naming import bare, guid, plain, record_digest, utc
from reports.record import AuditRecord, RecordedFinding

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
FINGERPRINT = "pcrAuditFinding/v1"
LEVELS = {"low": "note", "medium": "warning", "high": "error", "critical": "error"}
BACKDOOR, GATE, UNDECIDED = "backdoor-", "gate-", "cannot-be-judged"
_PROBES = {
    "inversion": ("TargetFreeInversion", "A trigger was recovered that makes the model give one answer to any picture"),
    "invariance": ("InvarianceUnderPatches", "Suspect samples get answers that patch noise hardly changes"),
}


def to_sarif(record: AuditRecord, baseline: AuditRecord | None = None) -> bytes:
    """One run about the model that the verdict is about.

    Failing results are its findings, its failed gates, and that it cannot be judged. What a repair did away with stands
    as a passing result. With `baseline` every result says whether it is new, unchanged, updated or absent.
    """
    seen = judged(record)
    results = _results(seen)
    if baseline is not None:
        results = _against(seen, results, _results(judged(baseline)))
    return _bytes({"$schema": SCHEMA, "version": "2.1.0", "runs": [_run(seen, results, baseline)]})


def _results(seen: Judged) -> list[dict[str, Any]]:
    return [*_findings(seen), *_gates(seen), *_undecided(seen)]


def _run(seen: Judged, results: list[dict[str, Any]], baseline: AuditRecord | None) -> dict[str, Any]:
    record, digest = seen.record, record_digest(seen.record)
    names = list(dict.fromkeys(result["ruleId"] for result in results))
    for result in results:
        result["ruleIndex"] = names.index(result["ruleId"])
    name = base_name(seen.model.path)
    return {
        "tool": {"driver": _driver(record, names)},
        "automationDetails": {"id": f"pcr-audit/{plain(name, 80)}/", "guid": str(guid("sarif", digest))},
        **({"baselineGuid": str(guid("sarif", record_digest(baseline)))} if baseline is not None else {}),
        "invocations": [_invocation(record)],
        "originalUriBaseIds": {
            "MODEL": {"description": {"text": f"folder of the {record.verdict.about}, {plain(name)}"}},
            "RUN": {"description": {"text": "run folder, which holds record.json"}},
        },
        "artifacts": [_artifact(file.path, file.sha256, file.bytes) for file in seen.model.files],
        "results": results,
        "columnKind": "unicodeCodePoints",
        "properties": {
            "verdict": record.verdict.outcome, "about": record.verdict.about, "assurance": record.assurance,
            "calibration": record.calibration, "failOn": record.fail_on, "recordSha256": digest,
            "modelManifestSha256": bare(seen.model.digest),
        },
    }  # fmt: skip


def _driver(record: AuditRecord, names: list[str]) -> dict[str, Any]:
    return {
        "name": record.tool.name,
        "version": record.tool.version,
        "rules": [_describe_rule(name) for name in names],
    }


def _describe_rule(name: str) -> dict[str, Any]:
    """What a rule id means; ids stay the same for ever, a new probe or gate brings its own."""
    if name == UNDECIDED:
        title, text = "CannotBeJudged", "The run cannot judge the model: this is neither a pass nor a fail"
    elif name.startswith(GATE):
        gate = name.removeprefix(GATE)
        title, text = _title(name), f"Gate “{gate}” of the {'run' if gate == 'run' else 'policy'}: what it asks for"
    else:
        probe = name.removeprefix(BACKDOOR)
        title, text = _PROBES.get(probe, (_title(name), f"Probe “{probe}” has found evidence of a backdoor"))
    return {
        "id": name,
        "name": title,
        "shortDescription": {"text": f"{text}."},
        "defaultConfiguration": {"level": "error"},
        "properties": {"tags": ["security", "backdoor", "machine-learning"]},
    }


def _title(name: str) -> str:
    return "".join(part.capitalize() for part in name.replace("_", "-").split("-"))


def _invocation(record: AuditRecord) -> dict[str, Any]:
    moment = utc(record.created)
    ended = {"endTimeUtc": moment.strftime("%Y-%m-%dT%H:%M:%SZ")} if moment else {}
    return {"executionSuccessful": True, "commandLine": plain(shlex.join(record.command), 2000), **ended}


def _artifact(path: str, sha256: str, size: int) -> dict[str, Any]:
    return {
        "location": {"uri": quote(path), "uriBaseId": "MODEL"},
        "length": size,
        "hashes": {"sha-256": bare(sha256)},
        "roles": ["analysisTarget"],
    }


def _findings(seen: Judged) -> list[dict[str, Any]]:
    found = [_finding(seen, item) for item in seen.findings]
    return found + [_resolved(seen, item) for item in seen.resolved]


def _finding(seen: Judged, finding: RecordedFinding) -> dict[str, Any]:
    result = _result(seen, BACKDOOR + finding.probe, LEVELS[finding.severity], _say(finding), finding.fingerprint)
    result["suppressions"] = _suppressions(seen.waivers.get(finding.fingerprint))
    pictures = [_attachment(label, path) for label, path in sorted(finding.pictures.items())]
    if pictures:
        result["attachments"] = pictures
    result["rank"] = 25.0 * (1 + SEVERITIES.index(finding.severity))
    result["properties"] = _numbers(finding)
    return result


def _resolved(seen: Judged, finding: RecordedFinding) -> dict[str, Any]:
    """A finding of the model as given that the repaired one no longer has: evaluated, and no problem found."""
    text = f"Resolved by the repair; in the model as given: {_say(finding)}"
    result = _result(seen, BACKDOOR + finding.probe, "none", text, finding.fingerprint, kind="pass")
    result["suppressions"] = []
    result["properties"] = _numbers(finding)
    return result


def _say(finding: RecordedFinding) -> str:
    target = f"“{plain(finding.target, 160)}”" if finding.target else "an abnormal answer"
    kind = f"a recovered trigger ({plain(finding.trigger.kind, 40)})" if finding.trigger else "something"
    reached = f" on {measure_text(finding.asr)} of held-out pictures" if finding.asr else ""
    decoys = f"; decoy targets reach {measure_text(finding.decoy_asr)}" if finding.decoy_asr else ""
    return f"{finding.probe} ({finding.severity}): {kind} leads to {target}{reached}{decoys}."


def _numbers(finding: RecordedFinding) -> dict[str, Any]:
    rates = {
        name: rate.model_dump(mode="json")
        for name in ("asr", "decoy_asr", "placebo", "clean")
        if (rate := getattr(finding, name)) is not None
    }
    return {
        "severity": finding.severity, "score": finding.score, "pValue": finding.p_value,
        "pAdjusted": finding.p_adjusted, **rates,
    }  # fmt: skip


def _gates(seen: Judged) -> list[dict[str, Any]]:
    """Rules that failed or could not be decided under a verdict that is none to release on, and waived ones."""
    return [_gate(seen, rule) for rule in seen.rules if rule.outcome != "pass"]


def _gate(seen: Judged, rule: Rule) -> dict[str, Any]:
    # A run's own gate is known by its words alone, without the numbers that change from run to run.
    words = re.sub(r"[^a-z]+", "-", rule.reason.lower()) if rule.name == "run" else ""
    fingerprint = "/".join(filter(None, [GATE + rule.name, words[:80].strip("-")]))
    name = GATE + rule.name.replace("/", "-")
    result = _result(seen, name, "error", plain(rule.reason, 400), fingerprint)
    result["suppressions"] = _suppressions(rule.waiver)
    result["properties"] = {"outcome": rule.outcome}
    return result


def _undecided(seen: Judged) -> list[dict[str, Any]]:
    verdict = seen.record.verdict
    if verdict.outcome != "inconclusive":
        return []
    text = plain("This run cannot judge the model. " + " ".join(verdict.reasons), 1000)
    return [{**_result(seen, UNDECIDED, "error", text, UNDECIDED), "suppressions": []}]


def _result(
    seen: Judged, rule: str, level: str, text: str, fingerprint: str, kind: str = "fail"
) -> dict[str, Any]:  # fmt: skip
    return {
        "ruleId": rule,
        "kind": kind,
        "level": level,
        "message": {"text": text},
        "locations": [_location(seen)],
        "partialFingerprints": {FINGERPRINT: fingerprint},
    }


def _location(seen: Judged) -> dict[str, Any]:
    """A backdoor is in the weights as a whole; readers want one file, and get the first of the weights."""
    paths = [file.path for file in seen.model.files]
    weights = next((path for path in paths if path.endswith(".safetensors")), paths[0] if paths else "config.json")
    place: dict[str, Any] = {"uri": quote(weights), "uriBaseId": "MODEL"}
    if weights in paths:
        place["index"] = paths.index(weights)
    name = plain(base_name(seen.model.path))
    return {
        "physicalLocation": {"artifactLocation": place},
        "logicalLocations": [{"fullyQualifiedName": name, "kind": "module"}],
    }


def _attachment(label: str, path: str) -> dict[str, Any]:
    return {"description": {"text": plain(label, 80)}, "artifactLocation": {"uri": quote(path), "uriBaseId": "RUN"}}


def _suppressions(waiver: Waiver | None) -> list[dict[str, Any]]:
    if waiver is None:
        return []
    text = f"Waived by {waiver.owner}" + (f" until {waiver.expires}" if waiver.expires else "")
    return [{"kind": "external", "status": "accepted", "justification": plain(f"{text}: {waiver.reason}", 600)}]


def _against(seen: Judged, results: list[dict[str, Any]], old: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The results with their baselineState, and what failed in the baseline and is gone as absent.

    An absent result stands at the new model: the files of the old one are not part of this log.
    """
    before = {_key(result): result for result in old}
    stated = [{**result, "baselineState": _state(result, before.get(_key(result)))} for result in results]
    here = {_key(result) for result in results}
    gone = [result for key, result in before.items() if key not in here and result["kind"] == "fail"]
    place = [_location(seen)]
    absent = [{**result, "baselineState": "absent", "locations": place} for result in gone]
    return stated + [{key: value for key, value in result.items() if key != "attachments"} for result in absent]


def _state(result: Mapping[str, Any], before: Mapping[str, Any] | None) -> str:
    if before is None:
        return "new"
    same = (result["kind"], result["level"]) == (before["kind"], before["level"])
    return "unchanged" if same else "updated"


def _key(result: Mapping[str, Any]) -> str:
    return str(result["partialFingerprints"][FINGERPRINT])


def _bytes(data: Mapping[str, Any]) -> bytes:
    return (json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()
