"""`pcr-audit keygen`, `attest` and `verify`: signing a run with its model, and checking both against the signature."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from auditor.certification.attestation import Verification

RunFolder = Annotated[Path, typer.Argument(help="Run folder, which holds record.json.")]


def keygen(
    out: Annotated[Path, typer.Option(help="Folder for private.pem and public.pem.")],
    kind: Annotated[
        Literal["ed25519", "ecdsa-p256"],
        typer.Option("--type", help="Kind of key; ecdsa-p256 where FIPS is asked for."),
    ] = "ed25519",
) -> None:
    """Make a signing key; an existing one is never replaced. PCR_AUDIT_KEY_PASSPHRASE encrypts the private half."""
    from auditor.certification.keys import load_public_key, write_keys

    private, public = write_keys(out, kind)
    typer.echo(f"private key: {private} (keep it to yourself)")
    typer.echo(f"public key:  {public} (give it to whoever verifies)")
    typer.echo(f"key id:      {load_public_key(public).id}")


def attest(
    run: RunFolder,
    key: Annotated[Path, typer.Option(help="Private key, as `pcr-audit keygen` makes it.")],
    model: Annotated[
        Path | None, typer.Option(help="Folder of the judged checkpoint. Default: where the record says it is.")
    ] = None,
) -> None:
    """Sign a run: its verdict, its record and reports, and every file of the checkpoint that it judged."""
    from auditor.certification.attestation import judged_folder, sign_run

    typer.echo(f"attestation: {sign_run(run, key, model or judged_folder(run))}")


def verify(
    attestation: Annotated[Path, typer.Argument(help="attestation.json of a run.")],
    model: Annotated[Path, typer.Argument(help="Folder of the checkpoint, wherever it is now.")],
    public_key: Annotated[Path, typer.Option(help="Public key of whoever signed.")],
    run: Annotated[
        Path | None,
        typer.Option(help="Run folder with record and reports. Default: the attestation's, if they are there."),
    ] = None,
    require_pass: Annotated[
        bool, typer.Option("--require-pass", help="Also exit 1 when the verdict is no pass.")
    ] = False,
) -> None:
    """Check a signature, and name every file of model, record and reports that is not as it was signed."""
    from auditor.certification.attestation import verify_attestation

    found = verify_attestation(attestation, model, public_key, run)
    passed = _say(found)
    if require_pass and not passed:
        typer.echo("the verdict is no pass, and --require-pass asks for one")
    raise typer.Exit(0 if found.good and (passed or not require_pass) else 1)


def _say(found: "Verification") -> bool:
    """Says what came of the check; returns whether a signature was good and the signed verdict is pass."""
    from reports.naming import plain

    if found.statement is None:
        typer.echo(f"signature: NOT by key {found.key_id}: another key signed, or the attestation was changed")
        return False
    typer.echo(f"signature: good, by key {found.key_id}")
    for fault in found.faults:
        typer.echo(f"{fault.state}: {plain(fault.name)}")
    typer.echo(f"files: {found.checked} as signed, {len(found.faults)} not")
    if found.unchecked:
        typer.echo(f"not checked (no run folder given): {', '.join(map(plain, found.unchecked))}")
    predicate = found.statement.predicate
    verdict = predicate.get("verdict") or {}
    outcome, policy = str(verdict.get("outcome")), (predicate.get("policy") or {}).get("name")
    typer.echo(
        f"signed verdict: {plain(outcome).upper()} ({plain(str(predicate.get('assurance')))}) on the "
        f"{plain(str(verdict.get('about')))}, policy {plain(str(policy or 'none'))}, "
        f"{plain(str(predicate.get('signedAt')))}"
    )
    return outcome == "pass"
