"""`pcr-audit`: options → one library call → echo. Errors become words and exit codes here, and nowhere else."""

import os
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from auditor import __version__
from auditor.cli.attest import attest, keygen, verify
from auditor.cli.bench import bench
from auditor.cli.certify import certify
from auditor.cli.compare import compare
from auditor.cli.listing import list_registered
from auditor.cli.plant import plant
from auditor.cli.report import report
from auditor.cli.view import view
from auditor.company import helps
from auditor.errors import AuditError, UsageError
from auditor.memory import keep_memory

app = typer.Typer(
    help="Finds backdoors in multimodal LLM checkpoints, removes them, and writes the evidence.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Severity = Literal["low", "medium", "high", "critical"]
Dtype = Literal["float32", "bfloat16", "float16"]
Model = Annotated[Path, typer.Argument(help="Folder of a Hugging Face image-text-to-text checkpoint (safetensors).")]
Data = Annotated[
    Path | None,
    typer.Option(help="Clean samples: JSONL, COCO captions, VQAv2 or a picture folder. Default: embedded ones."),
]
Suspect = Annotated[Path | None, typer.Option(help="Suspect samples to screen one by one, in the same formats.")]
Out = Annotated[Path | None, typer.Option(help="Output folder, new or empty. Default: below pcr-audit-runs/.")]
Profile = Annotated[
    Literal["quick", "standard", "release"],
    typer.Option(help="How thoroughly: pictures; words in prompts too; the same from twice as many starts."),
]
Seed = Annotated[int, typer.Option(help="Root seed; every other seed is derived from it by name.")]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:N or mps.")]
DtypeOption = Annotated[Dtype, typer.Option("--dtype", help="Precision the weights are loaded in.")]
FailOn = Annotated[Severity, typer.Option(help="Smallest severity that makes the verdict fail.")]
Json = Annotated[bool, typer.Option("--json", help="The result as JSON on stdout.")]
Threads = Annotated[int | None, typer.Option(help="CPU threads. Default: all.")]
Steps = Annotated[int | None, typer.Option(min=1, help="Training steps. Default: 120, or 360 where words were found.")]
Rate = Annotated[
    float | None, typer.Option(min=1e-8, max=1.0, help="Highest learning rate. Default: by the model's width.")
]
MethodName = Annotated[
    Literal["guided", "pcr", "finetune", "fine-prune", "consistency", "restore", "interpolate"],
    typer.Option("--method", help="Repair method; `pcr-audit list methods` says what each does."),
]
Base = Annotated[
    Path | None, typer.Option(help="Clean checkpoint of the same architecture, for `restore` and `interpolate`.")
]
WithControls = Annotated[
    bool, typer.Option("--controls", help="Plant known attacks in copies of the model, and see what the scan finds.")
]
Count = Annotated[int, typer.Option(min=1, max=99, help="Planted controls, and as many benign fine-tunes.")]
ControlSteps = Annotated[int | None, typer.Option(min=10, help="Steps of a plant; below 240 controls are shortened.")]
Negatives = Annotated[
    Path | None, typer.Option(help="Folder of checkpoints known to carry nothing; 19 or more give a p-value.")
]
Rounds = Annotated[
    int, typer.Option(min=1, help="Repair anew, up to this often, while what came out still has findings.")
]
Margin = Annotated[
    float, typer.Option(min=0, max=1, help="Relative drop of quality beyond which the repair is rolled back.")
]
Train = Annotated[str, typer.Option(help="Parts that are trained, of language, projector, vision.")]
Accumulate = Annotated[int, typer.Option(min=1, help="Turns in which a batch is read: less memory, the same gradient.")]
Precision = Annotated[
    Literal["auto", "no", "bf16"],
    typer.Option(
        "--mixed-precision", help="Arithmetic of the training; auto: bf16 where a CPU has instructions for it."
    ),
]
Checkpointing = Annotated[
    bool, typer.Option("--gradient-checkpointing", help="Compute activations twice: slower, far less memory.")
]
Fsdp = Annotated[
    bool, typer.Option("--fsdp", help="Divide the layers among the processes that torchrun started (FSDP2).")
]
Force = Annotated[bool, typer.Option("--force", help="Repair without a finding, against made-up triggers.")]
Lasts = Annotated[
    bool, typer.Option("--persistence", help="See whether benign fine-tuning or a stronger search brings it back.")
]
TensorBoard = Annotated[bool, typer.Option("--tensorboard", help="Losses for TensorBoard, in the run folder.")]
LoraRank = Annotated[int, typer.Option(min=0, help="Rank of LoRA adapters, merged at export; 0 trains the weights.")]


@app.callback(invoke_without_command=True)
def root(version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False) -> None:
    if version:
        typer.echo(f"pcr-audit {__version__}")
        raise typer.Exit


@app.command()
def scan(
    context: typer.Context,
    model: Model,
    data: Data = None,
    suspect: Suspect = None,
    out: Out = None,
    controls: WithControls = False,
    controls_count: Count = 3,
    controls_steps: ControlSteps = None,
    negatives: Negatives = None,
    profile: Profile = "quick",
    seed: Seed = 0,
    device: Device = "cpu",
    dtype: DtypeOption = "float32",
    fail_on: FailOn = "medium",
    threads: Threads = None,
    json: Json = False,
) -> None:
    """Look for backdoors in a checkpoint with nothing but clean pictures; --suspect screens samples too."""
    from auditor.cli import work

    options = work.options(context, seed, device, dtype, fail_on, threads, profile)
    asked = work.Asked(controls, controls_count, controls_steps, negatives)
    work.finish(work.scan(model, data, suspect, out, options, asked), json)


@app.command()
def repair(
    context: typer.Context,
    model: Annotated[Path | None, typer.Argument(help="The scanned checkpoint. Default: the latest run's.")] = None,
    findings: Annotated[Path | None, typer.Option(help="Run folder of the scan. Default: the latest run.")] = None,
    data: Data = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the repaired checkpoint, new or empty.")] = None,
    method: MethodName = "guided",
    base: Base = None,
    steps: Steps = None,
    learning_rate: Rate = None,
    lora_rank: LoraRank = 0,
    train: Train = "language,projector,vision",
    accumulate: Accumulate = 1,
    mixed_precision: Precision = "auto",
    gradient_checkpointing: Checkpointing = False,
    fsdp: Fsdp = False,
    rounds: Rounds = 1,
    margin: Margin = 0.01,
    force: Force = False,
    persistence: Lasts = False,
    tensorboard: TensorBoard = False,
    seed: Seed = 0,
    device: Device = "cpu",
    dtype: DtypeOption = "float32",
    fail_on: FailOn = "medium",
    threads: Threads = None,
    json: Json = False,
) -> None:
    """Remove what a scan found, into a new checkpoint; reload it, measure it, and add it to the run."""
    from auditor.cli import work

    options = work.options(context, seed, device, dtype, fail_on, threads)
    choice = work.RepairChoice(
        method, base, steps, learning_rate, lora_rank, work.parts_of(train), accumulate, mixed_precision,
        gradient_checkpointing, rounds, margin, force, persistence, tensorboard, fsdp,
    )  # fmt: skip
    work.finish(work.repair(model, findings, data, out, choice, options), json)


@app.command()
def audit(
    context: typer.Context,
    model: Model,
    data: Data = None,
    suspect: Suspect = None,
    out: Out = None,
    controls: WithControls = False,
    controls_count: Count = 3,
    controls_steps: ControlSteps = None,
    negatives: Negatives = None,
    method: MethodName = "guided",
    base: Base = None,
    steps: Steps = None,
    learning_rate: Rate = None,
    lora_rank: LoraRank = 0,
    rounds: Rounds = 1,
    margin: Margin = 0.01,
    persistence: Lasts = False,
    profile: Profile = "quick",
    seed: Seed = 0,
    device: Device = "cpu",
    dtype: DtypeOption = "float32",
    fail_on: FailOn = "medium",
    threads: Threads = None,
    json: Json = False,
) -> None:
    """Scan, repair if something was found, verify the exported checkpoint, report, and give a verdict."""
    from auditor.cli import work

    options = work.options(context, seed, device, dtype, fail_on, threads, profile)
    asked = work.Asked(controls, controls_count, controls_steps, negatives)
    choice = work.RepairChoice(
        method, base, steps, learning_rate, lora_rank, rounds=rounds, margin=margin, persistence=persistence
    )  # fmt: skip
    work.finish(work.audit(model, data, suspect, out, choice, options, asked), json)


@app.command()
def plan(
    context: typer.Context,
    model: Model,
    data: Data = None,
    suspect: Suspect = None,
    profile: Profile = "quick",
    seed: Seed = 0,
    device: Device = "cpu",
    dtype: DtypeOption = "float32",
    threads: Threads = None,
    json: Json = False,
) -> None:
    """Say what a scan of this checkpoint will take on this machine: pictures through the model, seconds, memory."""
    from auditor.cli import work

    options = work.options(context, seed, device, dtype, "medium", threads, profile)
    work.plan(model, data, suspect, options, json)


@app.command()
def demo(
    context: typer.Context,
    out: Out = None,
    seed: Seed = 0,
    threads: Threads = None,
) -> None:
    """Audit an embedded, really backdoored model: finding, repair, verification and PDF, in a few minutes."""
    from auditor.cli import work

    raise typer.Exit(work.demo(out, work.options(context, seed, "cpu", "float32", "medium", threads)))


@app.command()
def schema(
    policy: Annotated[bool, typer.Option("--policy", help="The schema of policy.toml instead.")] = False,
) -> None:
    """The JSON Schema of record.json, or with --policy of policy.toml."""
    import json

    if policy:
        from auditor.certification.policy import policy_schema as chosen
    else:
        from reports.record import record_schema as chosen
    typer.echo(json.dumps(chosen(), indent=2, sort_keys=True))


@app.command()
def doctor() -> None:
    """Check the environment: versions, devices, the embedded models, and whether PDFs can be written."""
    from auditor.cli import work

    raise typer.Exit(work.doctor())


for command in (report, certify, keygen, attest, verify, compare, plant, bench, view):
    app.command()(command)
app.command("list")(list_registered)


def run() -> None:
    """The console script: runs a command and exits with the code of DESIGN §1."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    keep_memory()
    sys.exit(main(sys.argv[1:]))


def main(arguments: list[str]) -> int:
    """Runs a command and returns its exit code; errors are written to stderr."""
    try:
        result = app(arguments, standalone_mode=False, prog_name="pcr-audit")
        return int(result) if isinstance(result, int) else 0
    except typer.Exit as stop:
        return int(stop.exit_code)
    except typer.TyperException as error:
        typer.echo(
            f"error: {_words(error)}\n  what to do: see `pcr-audit --help` or `pcr-audit COMMAND --help`", err=True
        )
        return UsageError.exit_code
    except (KeyboardInterrupt, typer.Abort):
        typer.echo("interrupted; nothing half-done was left, run the same command again", err=True)
        return 130
    except AuditError as error:
        if not helps():
            typer.echo(f"error: {error}", err=True)
        return error.exit_code
    except Exception as error:
        return _unexpected(error)


def _words(error: typer.TyperException) -> str:
    """The message of a wrong option; typer has no public accessor for it."""
    return str(getattr(error, "format_message", lambda: str(error))())


def _unexpected(error: Exception) -> int:
    from reports.errors import RecordError

    if isinstance(error, RecordError):
        typer.echo(f"error: {error}", err=True)
        return UsageError.exit_code
    if os.environ.get("PCR_AUDIT_DEBUG"):
        raise error
    if type(error).__name__ == "OutOfMemoryError":  # torch's, which is not imported for commands that need no model
        typer.echo(f"error: the device has too little memory for this model\n  got: {error}", err=True)
        typer.echo(
            "  what to do: --dtype bfloat16, or a device with more memory; see `pcr-audit plan`. A repair needs less",
            err=True,
        )
        typer.echo("  with --lora-rank 8, with --accumulate 6 and with --gradient-checkpointing", err=True)
        return AuditError.exit_code
    typer.echo(f"internal error: {type(error).__name__}: {error}", err=True)
    typer.echo("  what to do: set PCR_AUDIT_DEBUG=1 to see where, and report it", err=True)
    return AuditError.exit_code
