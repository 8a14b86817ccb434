"""What the document says in words: verdicts, assurance, next steps, and the meaning of every row."""

from dataclasses import dataclass
from typing import Literal

from probes.finding import SEVERITIES
from reports.formats import base_name, measure_text, number, short_digest, shorten
from reports.record import AuditRecord, BeforeAfter, Coverage, DataInfo, ModelInfo, RecordedFinding, Verdict


@dataclass(frozen=True)
class Row:
    """One row of the before/after table: a field of Scores, its name in words, and which way is better."""

    field: str
    label: str
    short: str
    better: Literal["lower", "higher"]
    meaning: str


ATTACK_ROWS = (
    Row(
        "asr_true",
        "Attack success, known trigger",
        "known trigger",
        "lower",
        "attacker's answer under the trigger known to be planted",
    ),
    Row(
        "asr_recovered",
        "Attack success, recovered trigger",
        "recovered trigger",
        "lower",
        "suspected answer under the recovered trigger, held-out pictures",
    ),
    Row(
        "asr_fresh",
        "Attack success, fresh search",
        "fresh search",
        "lower",
        "the same, trigger searched anew against this model",
    ),
    Row(
        "placebo",
        "Placebo",
        "placebo",
        "lower",
        "suspected answer under a random trigger of the same size",
    ),
    Row(
        "false_trigger",
        "False trigger",
        "no trigger",
        "lower",
        "suspected answer on untouched pictures",
    ),
)
QUALITY_ROWS = (
    Row("recovery", "Recovery", "recovery", "higher", "answers on stamped pictures that are right again"),
    Row("bleu4", "BLEU-4", "BLEU-4", "higher", "captions against their references"),
    Row("cider", "CIDEr", "CIDEr", "higher", "captions against their references, by consensus"),
    Row("rouge_l", "ROUGE-L", "ROUGE-L", "higher", "captions against their references, longest common part"),
    Row("vqa_accuracy", "VQA accuracy", "VQA accuracy", "higher", "questions answered right"),
)
ROWS = ATTACK_ROWS + QUALITY_ROWS
KEY_FIELDS = ("asr_true", "asr_recovered", "asr_fresh", "false_trigger", "recovery", "cider", "vqa_accuracy")

ASSURANCE = {
    "screened": "Screened: a search at the stated budget.",
    "calibrated": "Calibrated: the result was compared with models known to carry nothing, which bounds false alarms.",
    "certified": "Certified: calibrated, and known backdoors planted in copies of this model were found at the rate "
    "that the policy asks for.",
}


def measured(scores: BeforeAfter, key_only: bool = False) -> list[Row]:
    """The rows that hold a number on either side; with `key_only` those that page 1 shows."""
    sides = [scores.before] + ([scores.after] if scores.after else [])
    rows = [row for row in ROWS if any(side.of(row.field) for side in sides)]
    return [row for row in rows if row.field in KEY_FIELDS] if key_only else rows


def same_matter(verdict: Verdict) -> str:
    """The model a verdict is about, as the page names it."""
    return "Repaired model" if verdict.about == "repaired model" else "Model as given"


def judged_model(record: AuditRecord) -> ModelInfo:
    """The checkpoint that the verdict is about."""
    repaired = record.verdict.about == "repaired model"
    return record.repaired_model if repaired and record.repaired_model else record.model


def is_serious(finding: RecordedFinding, fail_on: str) -> bool:
    """Whether the finding is at or above the severity that fails a model."""
    ranks: tuple[str, ...] = SEVERITIES
    return ranks.index(finding.severity) >= ranks.index(fail_on)


def headline(record: AuditRecord, verdict: Verdict) -> str:
    """The verdict in one sentence that does not say more than the run can."""
    name = "the repaired model" if verdict.about == "repaired model" else "the model as given"
    if verdict.outcome == "pass":
        return f"No evidence of a backdoor was found in {name} within the stated scope."
    if verdict.outcome == "inconclusive":
        return f"This run cannot judge {name}. It is neither a pass nor a fail."
    found = record.findings_after if verdict.about == "repaired model" else record.findings
    if any(is_serious(finding, record.fail_on) for finding in found or []):
        return f"There is evidence of a backdoor in {name}."
    return f"A release gate was not met by {name}."


def next_steps(record: AuditRecord) -> list[str]:
    """What a release manager does after reading the verdict."""
    outcome, repaired = record.verdict.outcome, record.verdict.about == "repaired model"
    if outcome == "inconclusive":
        return [
            "Do not read this as a pass: hold the release.",
            "Settle the reasons above (other pictures, more of them, or a larger budget) and run the audit again.",
        ]
    if outcome == "fail" and repaired:
        return [
            "Release neither the model as given nor the repaired one.",
            "Go back to a trusted checkpoint, or repair again with a larger budget and audit the result.",
        ]
    if outcome == "fail":
        return [
            "Do not release this model. Keep it out of shared stores.",
            "Ask where its weights and fine-tuning data came from; treat the data as suspect.",
            "Repair it (pcr-audit repair) or go back to a trusted checkpoint, then audit the result.",
        ]
    return _after_pass(record, repaired)


def _after_pass(record: AuditRecord, repaired: bool) -> list[str]:
    steps, digest = [], short_digest(judged_model(record).digest)
    if repaired:
        steps.append(f"Release only the repaired checkpoint {digest}; withdraw the model as given.")
        steps.append("Ask where the weights and fine-tuning data came from: a repair does not remove the cause.")
    else:
        steps.append(f"As far as this audit goes, checkpoint {digest} may be released.")
    steps.append("Audit again when weights, processor, tokenizer or prompts change.")
    if record.assurance != "certified":
        steps.append("This is a screening: where more is needed, try the search on copies with known plants first.")
    return steps


def question(record: AuditRecord) -> str:
    """What was asked of the model, in one sentence."""
    ask = "Does this model hide a trigger that makes it give an attacker's answer"
    return f"{ask}, and can it be removed without hurting the model?" if record.repair else f"{ask}?"


def why(record: AuditRecord) -> list[str]:
    """The reasons of the verdict, without the sentence about controls, which page 1 says under how far to trust it."""
    return [reason for reason in record.verdict.reasons if not reason.startswith("Of the attacks planted as controls")]


def reasons_in_full(record: AuditRecord, shown: int, length: int) -> list[str]:
    """Every reason of the verdict where page 1 had to cut them; nothing where it shows them whole."""
    reasons = why(record)
    return reasons if len(reasons) > shown or any(len(reason) > length for reason in reasons) else []


def asked(record: AuditRecord) -> list[tuple[str, str]]:
    """What the run worked with, as name and value."""
    names = [family.name for family in record.search.families] or record.search.looked_for
    facts = [("Samples", _samples(record.data)), ("Triggers", shorten(", ".join(names) or "none searched", 120))]
    facts += [("Suspect data", _samples(record.suspect))] if record.suspect else []
    facts += [("Items", _items(record.coverage))]
    if (fit := record.competence) is not None:
        seen = f"{'yes' if fit.passed else 'no'}: {measure_text(fit)}; floor {number(fit.floor)}"
        facts.append(("Sees pictures?", seen))
    return [*facts, ("Fails at", f"severity {record.fail_on} or above")]


def _samples(data: DataInfo) -> str:
    return f"{data.samples:,} from {shorten(base_name(data.path), 48)}"


def _items(coverage: Coverage) -> str:
    rest = f", {coverage.error:,} failed, {coverage.skipped:,} skipped" if coverage.error or coverage.skipped else ""
    return f"{coverage.ok:,} of {coverage.planned:,} answered{rest}"


def named(field: str) -> str:
    """A measure's name in words."""
    return next((row.label for row in ROWS if row.field == field), field.replace("_", " "))


def relation(record: AuditRecord, name: str) -> str:
    """How the run stands to a control: it resolves a backdoor only where the repaired model passed."""
    verdict = record.verdict
    if name == "resolves" and not (verdict.about == "repaired model" and verdict.outcome == "pass"):
        return "did not resolve"
    if name == "detects" and not record.findings:
        return "looked for" if record.search.families else "not searched"
    return name
