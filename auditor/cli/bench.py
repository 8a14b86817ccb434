"""`pcr-audit bench`: a matrix of planted models, detectors and repairs, as a fleet that goes on after a stop."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from auditor.bench.running import Standing


def bench(
    matrix: Annotated[Path, typer.Argument(help="Matrix in TOML, such as benchmarks/matrix-tiny.toml.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder to run in and to go on in. Default: pcr-audit-runs/bench-NAME.")
    ] = None,
    address: Annotated[str | None, typer.Option(help="Ray cluster, such as ray://host:10001. Default: local.")] = None,
    pool: Annotated[
        Literal["ray", "processes", "none"], typer.Option(help="Ray, processes of this machine, or one after another.")
    ] = "ray",
    workers: Annotated[int, typer.Option(min=1, help="Items side by side, on this machine.")] = 2,
    threads: Annotated[int, typer.Option("--threads-per-worker", min=1, help="CPU threads of an item.")] = 1,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:N or mps.")] = "cpu",
    attempts: Annotated[int, typer.Option(min=1, help="How often an item may fail, over all runs.")] = 3,
    keep_models: Annotated[
        bool, typer.Option("--keep-models/--drop-models", help="Keep planted models after their last item.")
    ] = True,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count what is planned and done; run nothing.")] = False,
    tables_only: Annotated[bool, typer.Option("--tables-only", help="Make the tables from the rows; no Ray.")] = False,
) -> None:
    """Plant, detect and repair over a whole matrix, and write the tables. Exit 3 while cells are missing."""
    from auditor.bench.running import BenchOptions, prepare, run_bench, standing

    planned, items = prepare(matrix)
    folder = out or Path("pcr-audit-runs") / f"bench-{planned.name}"
    if dry_run:
        _show(standing(items, folder, attempts))
        return
    if not tables_only:
        options = BenchOptions(
            folder, pool, workers, threads, address, device, attempts, keep_models, ("pcr-audit", *sys.argv[1:])
        )
        run_bench(matrix, options, _tell)
    from auditor.bench.reporting import make_tables

    found = standing(items, folder, attempts)
    page = make_tables(planned, items, folder, f"pcr-audit bench {matrix} --out {folder}")
    _show(found)
    typer.echo(f"tables: {page}")
    raise typer.Exit(0 if found.complete else 3)


def _tell(row: dict[str, Any], done: int, planned: int) -> None:
    why = f": {row['error']['message'].splitlines()[0]}" if row["status"] != "ok" else ""
    seconds = f"{row['seconds']:.0f} s" if row.get("seconds") is not None else "-"
    typer.echo(f"[{done}/{planned}] {row['status']} {row['key']} ({seconds}){why}", err=True)


def _show(found: "Standing") -> None:
    for kind, counter in found.counts.items():
        parts = ", ".join(f"{number} {status}" for status, number in sorted(counter.items()))
        typer.echo(f"{kind:7} {sum(counter.values()):5} planned: {parts or 'none'}")
    for architecture in found.waiting:
        typer.echo(f"{architecture}: there is no base yet, its items wait (auditor/zoo/README.md says how to make one)")
