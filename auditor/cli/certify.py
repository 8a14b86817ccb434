"""`pcr-audit certify`: judges a run by a policy, prints every rule, and exits with the code of the judgement."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from reports.record import AuditRecord

MARKS = {"pass": "pass", "fail": "FAIL", "inconclusive": "OPEN"}


def certify(
    run: Annotated[Path | None, typer.Argument(help="Run folder. Default: the latest run.")] = None,
    policy: Annotated[
        str, typer.Option(help="A policy.toml, or one of the profiles quick, standard, release.")
    ] = "standard",
    json: Annotated[bool, typer.Option("--json", help="The record as JSON on stdout.")] = False,
) -> None:
    """Judge a run by a policy: pass, fail or inconclusive, with every reason and where its evidence is."""
    from auditor.certification.certifying import certify_run
    from auditor.certification.policy import load_policy
    from auditor.certification.verdict import EXIT_CODES
    from auditor.cli import work
    from auditor.runs import latest_run
    from reports.record import canonical_bytes

    rules = load_policy(policy)
    folder = run or latest_run()
    record = certify_run(folder, rules)
    # Computed before anything is rendered; record and report agree from here on, and may be signed.
    code = EXIT_CODES[record.verdict.outcome]
    work.write_documents(record, folder)
    typer.echo(canonical_bytes(record).decode(), nl=False) if json else _show(record, folder)
    raise typer.Exit(code)


def _show(record: "AuditRecord", folder: Path) -> None:
    """The judgement for a person at a terminal: one line a rule, with its evidence, then the waivers."""
    judgement = record.certification
    assert judgement is not None
    typer.echo(
        f"{record.verdict.about} under policy {judgement.policy}: {judgement.outcome.upper()} "
        f"({judgement.assurance}; {judgement.required_assurance} is asked for)"
    )
    for rule in judgement.rules:
        mark = "waived" if rule.waived_by else MARKS[rule.outcome]
        about = f" [{rule.fingerprint}]" if rule.fingerprint else ""
        typer.echo(f"  {mark:6} {rule.rule}: {rule.reason}{about}\n         evidence: {rule.pointer}")
    for waiver in judgement.waivers:
        typer.echo(f"  waiver of {waiver.owner} for {waiver.rule} until {waiver.expires}: {waiver.state}")
    typer.echo(f"policy sha256 {judgement.policy_digest}\nrecord: {folder / 'record.json'}")
