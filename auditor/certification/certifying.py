"""Certifies a run: judges its record by a policy, and writes the judgement, the verdict and the policy into the run."""

from datetime import UTC, date, datetime
from pathlib import Path

from auditor.certification.policy import POLICY, PolicyFile
from auditor.certification.power import assurance_of, judge_controls
from auditor.certification.rules import evaluate
from auditor.certification.verdict import conclude
from auditor.certification.waiving import apply_waivers
from auditor.errors import UsageError
from auditor.runs import RECORD
from reports.certification import Certification
from reports.files import write_atomically
from reports.record import AuditRecord, load_record, save_record


def certify_run(run: Path, policy: PolicyFile) -> AuditRecord:
    """Judges the run of that folder; its record.json holds the judgement afterwards, or is what it was before.

    Raises UsageError where the folder is no run, RecordError where its record cannot be read.
    """
    path = run / RECORD
    if not path.is_file():
        raise UsageError(
            "is no run", where=str(run), got=f"no {RECORD}",
            expected="a folder written by `pcr-audit scan` or `pcr-audit audit`", todo="name the run's folder",
        )  # fmt: skip
    # The clock itself, not SOURCE_DATE_EPOCH: a waiver must not come back to life in a reproducible build.
    certified = certify(load_record(path), policy, datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
    write_atomically(run / POLICY, policy.content)
    save_record(certified, path)
    return certified


def certify(record: AuditRecord, policy: PolicyFile, when: str) -> AuditRecord:
    """The record with a certification, and with the policy's verdict in place of its own.

    Certifying again starts from what the run said of itself, so that the last policy alone counts.
    """
    rules = policy.policy
    today = date.fromisoformat(when[:10])
    results, waivers = apply_waivers(evaluate(record, rules), record, rules, today)
    verdict = conclude(results, record)
    reached = assurance_of(record, rules, judge_controls(record, rules))
    certification = Certification(
        policy=rules.name, policy_digest=policy.digest, when=when, outcome=verdict.outcome,
        assurance=reached, required_assurance=rules.assurance, rules=results, waivers=waivers,
        run_verdict=record.own_verdict,
    )  # fmt: skip
    return record.model_copy(update={"certification": certification, "verdict": verdict, "assurance": reached})
