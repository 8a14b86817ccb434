"""A case: one opened checkpoint, the data it is asked about, and whether it can be judged at all."""

import os
import platform
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from auditor import __version__
from auditor.checkpoint.opening import Opened, open_checkpoint
from auditor.clock import now as now  # with the other parts of a record
from auditor.company import company
from auditor.data.preparing import Parts, prepare
from auditor.data.reading import Dataset, open_data
from auditor.errors import UsageError
from auditor.evaluation.competence import measure_competence
from auditor.zoo.embedded import embedded_samples, samples_digest
from probes.finding import Severity
from probes.precision import multiplies_halves
from probes.sample import Sample
from reports.record import Competence, DataInfo, Environment, ModelFile, ModelInfo, Setting, Tool

Progress = Callable[[str, float], None]
EMBEDDED_SCENES = 640
_PACKAGES = (
    "torch", "transformers", "tokenizers", "safetensors", "captum", "scipy", "numpy", "pillow", "peft", "accelerate",
)  # fmt: skip


@dataclass(frozen=True)
class Options:
    """What every command that opens a model takes; `origins` says which of them the user gave.

    `profile` is one of probes.inversion.PROFILES; `divided` has the processes that work together divide the model.
    """

    seed: int = 0
    device: str = "cpu"
    dtype: str = "float32"
    batch_size: int = 64
    fail_on: Severity = "medium"
    profile: str = "quick"
    threads: int | None = None
    divided: bool = False
    command: tuple[str, ...] = ()
    origins: frozenset[str] = field(default_factory=frozenset)


@dataclass(frozen=True)
class Case:
    """Everything the probes need, opened once."""

    opened: Opened
    data: DataInfo
    suspect: Dataset | None
    parts: Parts
    competence: Competence


def open_case(
    model: Path,
    data: Path | None,
    suspect: Path | None,
    options: Options,
    progress: Progress,
    split_seed: int | None = None,
) -> Case:
    """Checks and opens the model, reads the data, divides it, and measures competence. Nothing is written."""
    check_device(options)
    if options.threads:
        torch.set_num_threads(options.threads)
    suspicious = open_data(suspect) if suspect is not None else None
    samples, info = read_samples(data, options.seed if split_seed is None else split_seed)
    progress("opening the checkpoint", 0.0)
    opened = open_model(model, options)
    parts = prepare(opened.subject, samples, options.seed if split_seed is None else split_seed)
    progress("competence", 0.0)
    competence = measure_competence(opened.subject, parts.held_out, options.seed)
    return Case(opened, info, suspicious, parts, competence)


def open_model(folder: Path, options: Options) -> Opened:
    """Opens a checkpoint as the options say."""
    return open_checkpoint(
        folder, device=options.device, dtype=options.dtype, batch_size=options.batch_size, divided=options.divided
    )


def read_samples(data: Path | None, seed: int) -> tuple[list[Sample], DataInfo]:
    """The user's samples, or the embedded ones; with their digest."""
    if data is None:
        embedded = embedded_samples(EMBEDDED_SCENES, seed)
        return embedded, DataInfo(path="embedded pictures", digest=samples_digest(embedded), samples=len(embedded))
    dataset = open_data(data)
    info = DataInfo(path=str(data), digest=dataset.digest, samples=len(dataset.samples))
    return list(dataset.samples), info


def check_device(options: Options) -> None:
    """Raises UsageError for a device that torch does not see."""
    kind = options.device.split(":")[0]
    present = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not present.get(kind, False):
        raise UsageError(
            "this device is not there", where="--device", got=options.device,
            expected=" or ".join(name for name, there in present.items() if there), todo="choose another --device",
        )  # fmt: skip


def describe_model(opened: Opened) -> ModelInfo:
    return ModelInfo(
        path=str(opened.folder),
        digest=opened.manifest.digest,
        family=opened.family,
        parameters=opened.parameters,
        files=[ModelFile(path=f.path, sha256=f.sha256, bytes=f.bytes) for f in opened.manifest.files],
    )


def describe_environment(options: Options) -> Environment:
    return Environment(device=_device_name(options.device), dtype=options.dtype, threads=torch.get_num_threads())


def _device_name(device: str) -> str:
    if device.startswith("cuda"):
        return f"{device} ({torch.cuda.get_device_name(torch.device(device))})"
    halves = ", searched in bfloat16" if multiplies_halves() else ""
    return f"{device} ({platform.machine()}, {os.cpu_count()} cores{halves})" if device == "cpu" else device


def describe_versions() -> dict[str, str]:
    found = {"pcr-audit": __version__, "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def describe_settings(options: Options, more: dict[str, object]) -> dict[str, Setting]:
    values: dict[str, object] = {
        "seed": options.seed, "device": options.device, "dtype": options.dtype, "batch_size": options.batch_size,
        "fail_on": options.fail_on, **more,
    }  # fmt: skip
    if options.divided:
        values["processes"] = f"{company()}, each with a part of the language model"
    return {
        name: Setting(value=_plain(value), origin="option" if name in options.origins else "default")
        for name, value in values.items()
    }


def _plain(value: object) -> str | int | float | bool | None:
    return value if isinstance(value, str | int | float | bool) or value is None else str(value)


def tool() -> Tool:
    return Tool(name="pcr-audit", version=__version__)
