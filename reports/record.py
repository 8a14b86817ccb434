"""The audit record: everything a run found, typed and versioned, and the one way to write and read it."""
# ruff: noqa: RUF012 (pydantic copies a default for every instance; its base class stands in reports/part.py)

import json
from pathlib import Path
from typing import Any, Final, Literal, cast

from pydantic import Field, ValidationError

from probes.finding import Severity
from reports.certification import Certification, Verdict
from reports.controls import Calibration, Controls
from reports.errors import RecordError
from reports.fields import Grid, Number, Numbers, Plain, Text
from reports.files import write_atomically
from reports.fingerprint import fingerprint
from reports.migration import migrate
from reports.part import Assurance, Measure, Outcome, Part, RateInterval
from reports.repair import RepairInfo

__all__ = ["Assurance", "Calibration", "Certification", "Controls", "Measure", "Outcome", "RateInterval", "Verdict"]
SCHEMA_VERSION: Final = "1.2"


class Tool(Part):
    """The program that wrote the record."""

    name: str
    version: str


class Setting(Part):
    """A setting in force, and where it came from (default, file, option)."""

    value: Plain
    origin: Text


class Environment(Part):
    """What the run was computed on."""

    device: str
    dtype: str
    threads: int | None = None


class ModelFile(Part):
    """One file of a checkpoint: path relative to the checkpoint, digest of the bytes that were opened."""

    path: Text
    sha256: str
    bytes: int = Field(ge=0)


class ModelInfo(Part):
    """A checkpoint by path and digest."""

    path: Text
    digest: str
    family: Text
    parameters: int | None = None
    files: list[ModelFile] = []


class DataInfo(Part):
    """A set of samples by path and digest; `parts` says how many samples went where (search, held_out, …)."""

    path: Text
    digest: str
    samples: int = Field(ge=0)
    parts: dict[str, int] = {}


class Competence(Part):
    """How much better the model answers about a picture than about another one, against the floor to be judged."""

    value: Number
    low: Number = None
    high: Number = None
    n: int = Field(ge=0)
    floor: Number
    passed: bool
    method: Text = ""


class TriggerInfo(Part):
    """A recovered trigger: its family, its file relative to the record, its budget in the family's own unit.

    `text` is what it adds to the prompt, where it adds something.
    """

    kind: Text
    path: Text | None = None
    budget: Number = None
    text: Text | None = None


class Statistic(Part):
    """A statistic and the same statistic where nothing is planted."""

    name: Text
    value: Number
    null: Numbers = []
    meaning: Text = ""


class RecordedFinding(Part):
    """One suspicion with its evidence; `pictures` maps a label to a PNG path relative to the record.

    `fingerprint` stays the same from run to run: waivers, baselines and SARIF name a finding by it.
    """

    probe: Text
    target: Text | None = None
    fingerprint: Text = Field(default_factory=lambda data: fingerprint(data.get("probe", ""), data.get("target")))
    score: Number = None
    p_value: Number = None
    p_adjusted: Number = None
    asr: RateInterval | None = None
    decoy_asr: RateInterval | None = None
    placebo: RateInterval | None = None
    clean: RateInterval | None = None
    trigger: TriggerInfo | None = None
    severity: Severity = "low"
    statistics: list[Statistic] = []
    pictures: dict[str, Text] = {}
    examples: list[Text] = []
    notes: list[Text] = []


class Scores(Part):
    """What was measured on one model; null where it was not measured. `matchers` is for the trigger measured."""

    asr_true: Measure | None = None
    asr_recovered: Measure | None = None
    asr_fresh: Measure | None = None
    false_trigger: Measure | None = None
    placebo: Measure | None = None
    recovery: Measure | None = None
    bleu4: Measure | None = None
    cider: Measure | None = None
    rouge_l: Measure | None = None
    vqa_accuracy: Measure | None = None
    matchers: dict[str, Measure] = {}

    def of(self, name: str) -> Measure | None:
        """The measure of that field."""
        return cast(Measure | None, getattr(self, name))


class BeforeAfter(Part):
    """The scores of the model as given and, when a repair followed, of the repaired model."""

    before: Scores = Scores()
    after: Scores | None = None


class PairedTest(Part):
    """An exact McNemar test before against after, on the same items."""

    name: Text
    better: int = Field(ge=0)
    worse: int = Field(ge=0)
    same: int = Field(ge=0)
    p_value: Number
    meaning: Text = ""


class Coverage(Part):
    """How the planned items ended; an error is never "no hit". `problems` names the first items that were not ok."""

    planned: int = Field(ge=0)
    ok: int = Field(ge=0)
    error: int = Field(default=0, ge=0)
    skipped: int = Field(default=0, ge=0)
    problems: list[Text] = []


class SearchFamily(Part):
    """One family of triggers that was searched, and how hard."""

    name: Text
    budget: Number = None
    restarts: int | None = None
    steps: int | None = None
    objective: Text = ""


class SearchInfo(Part):
    """What was looked for, what was not, and how.

    `statistic` is the one number of the whole scan, larger is odder; `statistic_after` that of the repaired model's.
    """

    profile: Text = "quick"
    statistic: Number = None
    statistic_after: Number = None
    looked_for: list[Text] = []
    not_looked_for: list[Text] = []
    families: list[SearchFamily] = []
    usual_tokens: int | None = None
    prompts: list[Text] = []


class Attribution(Part):
    """Where in the picture one answer was decided, before and after; paths are relative to the record.

    `insertion_*` and `deletion_*` are areas under their curves; a curve holds the answer's probability from no patch
    inserted (deleted) to all of them, in even steps.
    """

    sample_id: Text
    prompt: Text = ""
    answer_before: Text = ""
    answer_after: Text | None = None
    clean_picture: Text | None = None
    stamped_picture: Text | None = None
    before_map: Text | None = None
    after_map: Text | None = None
    values_before: Grid = []
    values_after: Grid | None = None
    delta_before: Number = None
    delta_after: Number = None
    hit_before: bool | None = None
    hit_after: bool | None = None
    insertion_before: Number = None
    insertion_after: Number = None
    deletion_before: Number = None
    deletion_after: Number = None
    insertion_curve_before: Numbers = []
    insertion_curve_after: Numbers = []
    deletion_curve_before: Numbers = []
    deletion_curve_after: Numbers = []


class AnswerPair(Part):
    """One example: the same question to the model before and after."""

    sample_id: Text
    kind: Literal["clean", "stamped"]
    prompt: Text = ""
    reference: Text | None = None
    before: Text = ""
    after: Text | None = None


class AuditRecord(Part):
    """Everything one run found, and how to run it again.

    `doubts` are what the run itself could not decide, whatever the policy; `drops` the relative drop of benign quality
    by metric, positive is worse; `timings` seconds by phase. Once a policy was applied, `verdict` is the policy's.
    """

    schema_version: Literal["1.2"] = SCHEMA_VERSION
    tool: Tool
    command: list[Text]
    created: str
    seed: int
    seconds: Number
    settings: dict[str, Setting] = {}
    versions: dict[str, Text] = {}
    environment: Environment
    verdict: Verdict
    scan_verdict: Verdict | None = None
    assurance: Assurance = "screened"
    calibration: Text = "none"
    calibrated_by: Calibration | None = None
    controls: Controls | None = None
    certification: Certification | None = None
    doubts: list[Text] = []
    fail_on: Severity = "medium"
    model: ModelInfo
    repaired_model: ModelInfo | None = None
    base_model: ModelInfo | None = None
    data: DataInfo
    suspect: DataInfo | None = None
    competence: Competence | None = None
    findings: list[RecordedFinding] = []
    findings_after: list[RecordedFinding] | None = None
    scores: BeforeAfter = BeforeAfter()
    drops: dict[str, Measure] = {}
    paired: list[PairedTest] = []
    coverage: Coverage
    repair: RepairInfo | None = None
    search: SearchInfo = SearchInfo()
    attribution: list[Attribution] = []
    answers: list[AnswerPair] = []
    limits: list[Text] = []
    timings: dict[str, Number] = {}
    redacted: bool = False

    @property
    def own_verdict(self) -> Verdict:
        """What the run said of itself, whatever policy was applied to it since."""
        return self.certification.run_verdict if self.certification is not None else self.verdict


def canonical_bytes(record: AuditRecord) -> bytes:
    """The one byte form of a record: JSON, sorted keys, indent 2, UTF-8, a final newline, no NaN."""
    data = record.model_dump(mode="json")
    return (json.dumps(data, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def save_record(record: AuditRecord, path: str | Path) -> Path:
    """Writes the canonical form whole or not at all; a file that was there stays until the new one is complete."""
    target = Path(path)
    write_atomically(target, canonical_bytes(record))
    return target


def load_record(path: str | Path) -> AuditRecord:
    """The record of that file, an older one migrated; a newer schema, or what is no record, raises RecordError."""
    where = str(path)
    try:
        data = json.loads(Path(path).read_bytes())
    except OSError as error:
        raise RecordError(f"cannot be read: {error.strerror}", where=where, todo="give a run's record.json") from error
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise RecordError(f"is not JSON: {error}", where=where, todo="give a run's record.json") from error
    _check_version(data, where)
    try:
        return AuditRecord.model_validate(migrate(data, SCHEMA_VERSION))
    except ValidationError as error:
        raise RecordError(
            "does not fit the schema",
            where=where,
            got=_faults(error),
            expected="`pcr-audit schema`",
            todo="write the record with this tool instead of editing it by hand",
        ) from error


def record_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a record of this version."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **AuditRecord.model_json_schema()}


def _check_version(data: object, where: str) -> None:
    version = data.get("schema_version") if isinstance(data, dict) else None
    parts = version.split(".") if isinstance(version, str) else []
    if len(parts) != 2 or not all(part.isascii() and part.isdigit() and len(part) < 10 for part in parts):
        raise RecordError(
            "has no readable `schema_version`",
            where=where,
            got=repr(version)[:80],
            expected=f'"{SCHEMA_VERSION}"',
            todo="give a run's record.json",
        )
    if tuple(map(int, parts)) > tuple(map(int, SCHEMA_VERSION.split("."))):
        raise RecordError(
            "was written by a newer version of this tool",
            where=where,
            got=f"schema {version}",
            expected=f"schema {SCHEMA_VERSION} or older",
            todo="upgrade this tool and try again",
        )


def _faults(error: ValidationError, shown: int = 3) -> str:
    faults = error.errors(include_url=False, include_input=False)
    words = ["{}: {}".format(".".join(map(str, fault["loc"])) or "record", fault["msg"]) for fault in faults[:shown]]
    return "; ".join(words + ([f"and {len(faults) - shown} more"] if len(faults) > shown else []))
