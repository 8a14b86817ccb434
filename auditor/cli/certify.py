"""`pcr-audit certify`: judges a run by a policy, prints every rule, and exits with the code of the judgement."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from auditor.cli.report import Formats, parse_formats

if TYPE_CHECKING:
    from reports.record import AuditRecord

MARKS = {"pass": "pass", "fail": "FAIL", "inconclusive": "OPEN"}


def certify(
    run: Annotated[Path | None, typer.Argument(help="Run folder. Default: the latest run.")] = None,
    policy: Annotated[
        str, typer.Option(help="A policy.toml, or one of the profiles quick, standard, release.")
    ] = "standard",
    key: Annotated[
        Path | None, typer.Option(help="Private key: signs the judged run and its model, as `attest` does.")
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(help="Folder of the judged checkpoint, to sign. Default: as in the record."),
    ] = None,
    formats: Formats = "html,pdf",
    json: Annotated[bool, typer.Option("--json", help="The record as JSON on stdout.")] = False,
) -> None:
    """Judge a run by a policy: pass, fail or inconclusive, with every reason and where its evidence is; sign it."""
    from auditor.certification.attestation import judged_folder, sign_run
    from auditor.certification.certifying import certify_run
    from auditor.certification.keys import load_private_key
    from auditor.certification.policy import load_policy
    from auditor.certification.verdict import EXIT_CODES
    from auditor.cli import work
    from auditor.runs import latest_run
    from reports.record import canonical_bytes

    rules, wanted = load_policy(policy), parse_formats(formats)
    if key is not None:
        load_private_key(key)  # before anything is written: a key that cannot be used stops here
    folder = run or latest_run()
    record = certify_run(folder, rules)
    # Computed before anything is rendered; what is signed is the record and the reports made from it.
    code = EXIT_CODES[record.verdict.outcome]
    work.write_documents(record, folder, wanted)
    signed = sign_run(folder, key, model or judged_folder(folder)) if key is not None else None
    typer.echo(canonical_bytes(record).decode(), nl=False) if json else _show(record, folder)
    if signed is not None:
        typer.echo(f"attestation: {signed}", err=True)
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
