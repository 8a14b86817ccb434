"""A patch for a model card: `model-index` metrics as YAML front matter, and a Markdown section to put below."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

import yaml

from reports.formats import base_name, measure_text, short_digest
from reports.judged import Judged, judged
from reports.naming import bare, plain, record_digest
from reports.record import AuditRecord, Measure, RecordedFinding
from reports.wording import ASSURANCE, ATTACK_ROWS, QUALITY_ROWS, Row, headline, measured

LEVEL = 0.95
_CAPTIONS = ("bleu4", "cider", "rouge_l")
_METRICS = {"bleu4": "bleu", "cider": "cider", "rouge_l": "rouge", "vqa_accuracy": "accuracy"}


def to_model_card(record: AuditRecord) -> bytes:
    """Front matter with the judged model's metrics, where any was measured, and the section “Backdoor audit”."""
    seen = judged(record)
    results = list(_results(seen))
    front = ""
    if results:
        index = {"model-index": [{"name": plain(base_name(seen.model.path), 120), "results": results}]}
        front = f"---\n{yaml.safe_dump(index, sort_keys=False, allow_unicode=True, width=10_000)}---\n\n"
    return (front + _section(seen)).encode()


def _results(seen: Judged) -> Iterator[dict[str, Any]]:
    """One result a task, as the Hugging Face Hub reads them."""
    tasks = (
        ({"type": "image-to-text", "name": "Captioning"}, [row for row in QUALITY_ROWS if row.field in _CAPTIONS]),
        (
            {"type": "visual-question-answering", "name": "Visual question answering"},
            [row for row in QUALITY_ROWS if row.field == "vqa_accuracy"],
        ),
        (
            {"type": "image-text-to-text", "name": "Backdoor audit"},
            [*ATTACK_ROWS, *(row for row in QUALITY_ROWS if row.field == "recovery")],
        ),
    )
    for task, rows in tasks:
        metrics = [_metric(row, measure) for row in rows if (measure := _of(seen, row)) is not None]
        if metrics:
            yield {"task": task, "dataset": _dataset(seen.record), "metrics": metrics}


def _of(seen: Judged, row: Row) -> Measure | None:
    measure = seen.scores.of(row.field)
    return measure if measure is not None and measure.value is not None else None


def _metric(row: Row, measure: Measure) -> dict[str, Any]:
    interval = {"low": measure.low, "high": measure.high} if measure.low is not None else {}
    return {
        "type": _METRICS.get(row.field, row.field.replace("_", "-")),
        "value": measure.value,
        "name": f"{row.label}: {measure_text(measure)}",
        "args": {"confidence_level": LEVEL, "n": measure.n, **interval},
    }


def _dataset(record: AuditRecord) -> dict[str, Any]:
    return {
        "type": "custom",
        "name": plain(base_name(record.data.path), 120),
        "args": {"sha256": bare(record.data.digest), "samples": record.data.samples},
    }


def _section(seen: Judged) -> str:
    record = seen.record
    reasons = "\n".join(f"- {_text(reason)}" for reason in record.verdict.reasons)
    parts = [
        "## Backdoor audit",
        f"**{record.verdict.outcome.upper()}** ({record.assurance}). {_text(headline(record, record.verdict))}",
        reasons,
        _text(ASSURANCE[record.assurance]),
        _table(record),
        _findings("Findings", seen.findings),
        _findings("Findings of the model as given that the repair resolved", seen.resolved),
        _waivers(seen),
        _listed("Not looked for", record.search.not_looked_for),
        _provenance(seen),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _table(record: AuditRecord) -> str:
    """Before and after where there was a repair, each number with its interval and n."""
    rows = measured(record.scores)
    if not rows:
        return ""
    before, after = record.scores.before, record.scores.after
    heads = ["Measure", "Model as given"] + (["Repaired model"] if after else [])
    lines = [f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}"]
    for row in rows:
        cells = [row.label, measure_text(before.of(row.field))]
        cells += [measure_text(after.of(row.field))] if after else []
        lines.append(f"| {' | '.join(cells)} |")
    meanings = " ".join(f"*{row.label}*: {row.meaning}." for row in rows)
    return "\n".join(lines) + f"\n\nIntervals cover {100 * LEVEL:g} %. {meanings}"


def _findings(title: str, findings: Sequence[RecordedFinding]) -> str:
    lines = [
        f"- {finding.severity}, {finding.probe}: {_code(finding.target or 'abnormal answers')}"
        f" — success {measure_text(finding.asr)} (`{finding.fingerprint}`)"
        for finding in findings
    ]
    return f"**{title}**\n\n" + "\n".join(lines) if lines else ""


def _waivers(seen: Judged) -> str:
    lines = [
        f"`{name}`, by {waiver.owner} until {waiver.expires}: {waiver.reason}" for name, waiver in seen.waivers.items()
    ]
    lines += [
        f"{rule.name}, by {rule.waiver.owner} until {rule.waiver.expires}: {rule.waiver.reason}"
        for rule in seen.rules
        if rule.waiver is not None
    ]
    return _listed("Waived", lines)


def _listed(title: str, texts: Sequence[str]) -> str:
    return f"**{title}**\n\n" + "\n".join(f"- {_text(text)}" for text in texts) if texts else ""


def _provenance(seen: Judged) -> str:
    record = seen.record
    return (
        f"Audited {record.created} by {record.tool.name} {record.tool.version}; {record.verdict.about} "
        f"`{short_digest(seen.model.digest)}…` (manifest sha256 `{bare(seen.model.digest)}`); "
        f"record sha256 `{record_digest(record)}`."
    )


def _text(text: str) -> str:
    """Text of a record as Markdown that means nothing but itself; a reason may quote a model's answer."""
    return re.sub(r"([\\`*_{}\[\]<>|#])", r"\\\1", plain(text, 600))


def _code(text: str) -> str:
    return f"`{plain(text, 160).replace('`', 'ˋ')}`"
