"""What the commands call: paths are completed, progress is shown, results are echoed."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from json import dumps
from pathlib import Path
from tempfile import TemporaryDirectory

import typer

from auditor import audit as story
from auditor.case import Options, describe_versions, open_case
from auditor.certification.verdict import EXIT_CODES
from auditor.checkpoint.integrity import check_folder
from auditor.cli.progress import Reporter
from auditor.company import company, helps, own_device
from auditor.controls.running import add_controls, is_unfinished
from auditor.controls.specs import ControlPlan
from auditor.errors import UsageError
from auditor.planning import describe_screen, forecast
from auditor.repair.loop import Precision, Schedule
from auditor.repair.methods import METHODS
from auditor.repairing import RepairRequest
from auditor.runs import RECORD, latest_run, new_folder_name, refuse_occupied
from probes.finding import Severity
from probes.inversion import PROFILES
from reports.record import AuditRecord, Measure, canonical_bytes, load_record
from reports.writing import DEFAULT, present, write_formats

STEPS_FOR_WORDS = 2 * Schedule.steps
"""Of a repair where a finding's trigger is words, unless the user names a number."""


@dataclass(frozen=True)
class RepairChoice:
    """The options of a repair as the command line takes them; `steps` and `learning_rate` None are chosen for it."""

    method: str
    base: Path | None = None
    steps: int | None = None
    learning_rate: float | None = None
    lora_rank: int = 0
    train: tuple[str, ...] = Schedule.parts
    accumulate: int = 1
    precision: Precision = Schedule.precision
    checkpointing: bool = False
    rounds: int = 1
    margin: float = 0.01
    force: bool = False
    persistence: bool = False
    tensorboard: bool = False
    fsdp: bool = False

    def request(self, out: Path) -> RepairRequest:
        """What the library is asked for; UsageError for TensorBoard where it is not installed."""
        if self.tensorboard and find_spec("tensorboard") is None:
            raise UsageError(
                "TensorBoard is not installed", where="--tensorboard", got="no package tensorboard",
                expected="pcr-audit with its extra `tracking`", todo="pip install 'pcr-audit[tracking]'",
            )  # fmt: skip
        schedule = Schedule(
            steps=Schedule.steps if self.steps is None else self.steps, lora_rank=self.lora_rank, parts=self.train,
            turns=self.accumulate, rate=self.learning_rate, precision=self.precision, checkpointing=self.checkpointing,
        )  # fmt: skip
        return RepairRequest(
            METHODS[self.method](), out, schedule, None, self.base, self.rounds, self.margin, self.force,
            self.persistence, self.tensorboard, self.fsdp,
        )  # fmt: skip


def longer_for_words(request: RepairRequest, choice: RepairChoice, record: AuditRecord) -> RepairRequest:
    """The request, with more steps where a finding's trigger is words and the user named no number: their answers take
    three times as long to become right again."""
    kinds = {finding.trigger.kind for finding in record.findings if finding.trigger is not None}
    if choice.steps is not None or "word" not in kinds:
        return request
    return replace(request, schedule=replace(request.schedule, steps=STEPS_FOR_WORDS))


def options(
    context: typer.Context, seed: int, device: str, dtype: str, fail_on: Severity, threads: int | None,
    profile: str = "quick",
) -> Options:  # fmt: skip
    """The shared options, with the names of those that the user gave."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    given = frozenset(name for name, source in sources.items() if source is not None and source.name != "DEFAULT")
    return Options(
        seed=seed, device=own_device(device), dtype=dtype, fail_on=fail_on, profile=profile,
        threads=threads, command=("pcr-audit", *sys.argv[1:]), origins=given,
    )  # fmt: skip


@dataclass(frozen=True)
class Asked:
    """Which controls were asked for on the command line."""

    controls: bool = False
    count: int = 3
    steps: int | None = None
    negatives: Path | None = None

    def goes_on(self, run: Path, model: Path) -> bool:
        """Whether this command was interrupted at its controls, so that the run is taken as it is."""
        if not (self.controls or self.negatives) or not is_unfinished(run):
            return False
        return load_record(run / RECORD).model.digest == check_folder(model).digest

    def added(self, record: AuditRecord, run: Path, data: Path | None, chosen: Options, say: Reporter) -> AuditRecord:
        """The record with the controls and the negatives that were asked for."""
        if not (self.controls or self.negatives):
            return record
        if record.competence is None or not record.competence.passed:
            typer.echo("no controls: a model that cannot be judged gives copies that cannot be judged", err=True)
            return record
        plan = ControlPlan(self.count, self.count, self.steps) if self.controls else None
        return add_controls(run, data, plan, self.negatives, chosen, say)


def parts_of(text: str) -> tuple[str, ...]:
    """The named parts of a model; UsageError for another name, or none."""
    named = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not named or not set(named) <= set(Schedule.parts):
        raise UsageError(
            "these are no parts of a model", where="--train", got=text, expected=", ".join(Schedule.parts),
            todo="name one or more of them, with commas between",
        )  # fmt: skip
    return named


def scan(
    model: Path, data: Path | None, suspect: Path | None, out: Path | None, chosen: Options, asked: Asked
) -> tuple[AuditRecord, Path]:
    chosen = replace(chosen, divided=company() > 1)
    if chosen.divided and (asked.controls or asked.negatives):
        raise UsageError(
            "controls are for one process", where="--controls, --negatives", got=f"{company()} processes",
            expected="none of them where processes divide the model", todo="leave them out",
        )  # fmt: skip
    if helps():
        with TemporaryDirectory() as aside:
            story.scan(model, data, suspect, Path(aside) / "run", chosen, story.silent)
        raise typer.Exit
    run = out or new_folder_name("scan")
    _say_about_data(data)
    with Reporter(run) as reporter:
        goes_on = asked.goes_on(run, model)
        record = load_record(run / RECORD) if goes_on else story.scan(model, data, suspect, run, chosen, reporter)
        record = asked.added(record, run, data, chosen, reporter)
    write_documents(record, run)
    return record, run


def repair(
    model: Path | None,
    findings: Path | None,
    data: Path | None,
    out: Path | None,
    choice: RepairChoice,
    chosen: Options,
) -> tuple[AuditRecord, Path]:
    run = findings or latest_run()
    if not (run / RECORD).is_file():
        raise UsageError(
            "is no run", where=str(run), got=f"no {RECORD}", expected="a folder written by `pcr-audit scan`"
        )
    record = load_record(run / RECORD)
    checkpoint = model or Path(record.model.path)
    pictures = data or _data_of(record)
    target = out or run / "repaired"
    request = longer_for_words(choice.request(target), choice, record)
    if helps():
        story.help_to_repair(run, checkpoint, pictures, request, chosen)
        raise typer.Exit
    with Reporter(run) as reporter:
        continued = story.repair_run(run, checkpoint, pictures, request, chosen, reporter)
    write_documents(continued, run)
    typer.echo(
        f"repaired checkpoint: {continued.repaired_model.path if continued.repaired_model else target}", err=True
    )
    return continued, run


def audit(
    model: Path, data: Path | None, suspect: Path | None, out: Path | None, choice: RepairChoice, chosen: Options,
    asked: Asked,
) -> tuple[AuditRecord, Path]:  # fmt: skip
    if company() > 1:
        raise UsageError(
            "an audit is for one process", where="the launcher", got=f"{company()} processes",
            expected="`scan`, whose processes divide the model, or `repair`", todo="scan first, then repair",
        )  # fmt: skip
    run = out or new_folder_name("audit")
    request = choice.request(run / "repaired")
    _say_about_data(data)
    with Reporter(run) as reporter:
        if asked.goes_on(run, model):
            record = load_record(run / RECORD)
        else:
            record = story.scan(model, data, suspect, run, chosen, reporter)
            if record.verdict.outcome == "fail":
                request = longer_for_words(request, choice, record)
                record = story.repair_run(run, model, data, request, chosen, reporter)
        record = asked.added(record, run, data, chosen, reporter)
    write_documents(record, run)
    return record, run


def plan(model: Path, data: Path | None, suspect: Path | None, chosen: Options, json: bool) -> None:
    """Echoes the forecast of a scan; a screen that cannot reach significance is refused."""
    _say_about_data(data)
    with Reporter() as reporter:
        case = open_case(model, data, suspect, chosen, reporter)
        reporter("counting and timing", 0.0)
        found = forecast(case, PROFILES[chosen.profile], chosen.seed)
    references = len(case.parts.search) + len(case.parts.held_out)
    screen = describe_screen(len(case.suspect.samples), references) if case.suspect is not None else None
    if json:
        typer.echo(dumps({**found.as_dict(), "screen": screen}, indent=2))
        return
    for name, count, seconds in found.rows():
        typer.echo(f"{name:28} {count:>9,} pictures {seconds:>8,.0f} s")
    typer.echo(f"{'memory at the most':28} {found.speed.memory / 2**30:>9.1f} GiB")
    typer.echo("A model that carries something takes other turns: more budgets, fewer steps. Screening is not counted.")
    if screen is not None:
        typer.echo(screen)


def _data_of(record: AuditRecord) -> Path | None:
    path = Path(record.data.path)
    return path if path.exists() else None


def _say_about_data(data: Path | None) -> None:
    if data is None:
        typer.echo(
            "no --data: probing with the embedded pictures; pictures of the model's own domain see more", err=True
        )


def write_documents(record: AuditRecord, run: Path, formats: Sequence[str] = DEFAULT) -> None:
    """Writes these documents, and anew those in the folder that an earlier record was written as."""
    written = write_formats(record, run, (*formats, *present(run)))
    typer.echo("wrote " + ", ".join(str(path) for path in written), err=True)
    if written.notice:
        typer.echo(written.notice, err=True)


def finish(result: tuple[AuditRecord, Path], json: bool) -> None:
    """Echoes the verdict (or the record) and exits with its code."""
    record, run = result
    code = EXIT_CODES[record.verdict.outcome]
    if json:
        typer.echo(canonical_bytes(record).decode(), nl=False)
    else:
        summarise(record, run)
    raise typer.Exit(code)


def summarise(record: AuditRecord, run: Path) -> None:
    """The verdict, the findings and the numbers, for a person at a terminal."""
    if record.scan_verdict is not None:
        typer.echo(f"model as given: {record.scan_verdict.outcome.upper()}")
    typer.echo(f"{record.verdict.about}: {record.verdict.outcome.upper()} ({record.assurance})")
    for reason in record.verdict.reasons:
        typer.echo(f"  {reason}")
    for finding in record.findings:
        rate = f"{finding.asr.hits}/{finding.asr.trials}" if finding.asr else "-"
        kind = finding.trigger.kind if finding.trigger else "no trigger"
        typer.echo(f"  finding: {finding.severity} {finding.probe} {kind}, ASR {rate}, target {finding.target!r}")
    if record.scores.after is not None:
        for name in ("asr_true", "asr_recovered", "asr_fresh", "recovery", "cider", "vqa_accuracy"):
            typer.echo(f"  {name:14} {_shown(record.scores.before.of(name))} -> {_shown(record.scores.after.of(name))}")
    typer.echo(f"record: {run / RECORD}")


def _shown(measure: Measure | None) -> str:
    if measure is None or measure.value is None or measure.low is None or measure.high is None:
        return "not measured"
    return f"{measure.value:.3f} [{measure.low:.3f}, {measure.high:.3f}] n={measure.n}"


def demo(out: Path | None, chosen: Options) -> int:
    from auditor.demonstration import demonstrate

    run = out or new_folder_name("demo")
    refuse_occupied(run)
    with Reporter(run / "run") as reporter:
        record, failures = demonstrate(run, chosen, reporter)
    write_documents(record, run / "run")
    summarise(record, run / "run")
    for failure in failures:
        typer.echo(f"  NOT AS IT SHOULD BE: {failure}")
    typer.echo("the demonstration went as it should" if not failures else "the demonstration failed")
    return 0 if not failures else 1


def doctor() -> int:
    import torch

    from auditor.checkpoint.integrity import check_folder
    from auditor.zoo.embedded import BACKDOORED_MODEL, CLEAN_MODEL
    from reports.errors import PdfUnavailableError
    from reports.pdf import render_pdf

    for name, found in describe_versions().items():
        typer.echo(f"{name:14} {found}")
    typer.echo(f"{'cpu threads':14} {torch.get_num_threads()}")
    typer.echo(f"{'cuda':14} {torch.cuda.get_device_name(0) if torch.cuda.is_available() else 'not available'}")
    for folder in (CLEAN_MODEL, BACKDOORED_MODEL):
        typer.echo(f"{folder.name:14} sha256 {check_folder(folder).digest[:16]}…")
    try:
        render_pdf("<p>doctor</p>")
    except PdfUnavailableError as problem:
        typer.echo(f"{'pdf':14} not available: {problem}")
        return 1
    typer.echo(f"{'pdf':14} available")
    return 0
