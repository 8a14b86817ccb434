"""`pcr-audit plant`: a known attack, or a fine-tune that only looks like one, in a copy of a checkpoint."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from auditor.attacks.report import PlantReport


def plant(
    context: typer.Context,
    model: Annotated[Path, typer.Argument(help="Folder of the checkpoint to copy; it is left alone.")],
    attack: Annotated[Path, typer.Option(help="TOML file: trigger, payload, rate, training (docs/attacks.md).")],
    out: Annotated[Path, typer.Option(help="Folder of the planted copy, new or empty.")],
    data: Annotated[Path | None, typer.Option(help="Clean samples with answers. Default: embedded ones.")] = None,
    scenes: Annotated[int, typer.Option(min=40, help="Embedded scenes to use where --data is left out.")] = 800,
    seed: Annotated[int, typer.Option(help="Root seed of the run; the attack's own seed is in its file.")] = 0,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:N or mps.")] = "cpu",
    threads: Annotated[int | None, typer.Option(help="CPU threads. Default: all.")] = None,
    json: Annotated[bool, typer.Option("--json", help="plant.json on stdout.")] = False,
) -> None:
    """Plant a known backdoor into a COPY of a checkpoint, for controls and benchmarks. Exit 1 when it did not take."""
    from auditor.attacks.planting import plant as planted
    from auditor.attacks.report import PLANT
    from auditor.attacks.spec import load_spec
    from auditor.case import Options, check_device
    from auditor.cli.progress import Reporter
    from auditor.data.reading import open_data
    from auditor.zoo.embedded import embedded_samples

    options = Options(seed=seed, device=device, threads=threads)
    check_device(options)
    spec = load_spec(attack)
    samples = embedded_samples(scenes, seed, "train") if data is None else list(open_data(data).samples)
    with Reporter() as reporter:
        report = planted(model, spec, samples, out, options, reporter)
    typer.echo((out / PLANT).read_text(encoding="utf-8"), nl=False) if json else _summarise(report, out)
    raise typer.Exit(1 if report.took is False else 0)


def _summarise(report: "PlantReport", out: Path) -> None:
    spec = report.spec
    typer.echo(f"{spec.name}: {spec.kind}, {report.steps} steps, {report.poisoned} of {report.samples} samples touched")
    if report.took is not None:
        typer.echo("  it took" if report.took else "  IT DID NOT TAKE: the payload is said on less than 90 %")
        for name, rate in report.asr.items():
            typer.echo(f"  ASR {name:11} {rate.hits}/{rate.trials}  [{rate.low:.3f}, {rate.high:.3f}]")
        for name, measured in (("false trigger", report.false_trigger), ("placebo", report.placebo)):
            if measured is not None:
                typer.echo(f"  {name:15} {measured.hits}/{measured.trials}  [{measured.low:.3f}, {measured.high:.3f}]")
    for name in ("cider", "vqa_accuracy"):
        before, after = getattr(report.quality_before, name), getattr(report.quality_after, name)
        if before is not None and after is not None:
            typer.echo(f"  {name:15} {before.value:.3f} -> {after.value:.3f}  (n={after.n})")
    typer.echo(f"  planted copy: {out}")
