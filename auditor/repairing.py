"""The repair of one case: rounds of training and looking again, what is rolled back, and whether it lasts."""

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch

from auditor.case import Case, Options, Progress, open_model
from auditor.certification.bounds import share
from auditor.checkpoint.opening import Opened, open_checkpoint
from auditor.checkpoint.subject import frozen
from auditor.company import company, helps
from auditor.errors import UsageError
from auditor.evaluation.scoring import HEADLINE, Answers, Attack, as_measure, ask, success_of
from auditor.evidence import best_by_target
from auditor.repair.adversary import Recovered, make_triggers
from auditor.repair.export import export
from auditor.repair.keeping import Keeper
from auditor.repair.loop import Aside, Repaired, Schedule, no_base, repair, seed_everything_else
from auditor.repair.methods import Finetune, Method
from auditor.repair.retreat import Step
from auditor.runs import Stored, numbers_and_values
from auditor.searching import fresh_success, search
from probes.finding import SEVERITIES
from probes.inversion import PROFILES, QUICK
from probes.sample import Sample
from probes.seeding import derive_seed, generator
from probes.triggers import Trigger
from reports.record import Measure, RecordedFinding
from reports.repair import Persistence, RepairRound

ALARM = SEVERITIES.index("medium")
LASTS = Schedule(steps=200, refresh=0)
"""The benign fine-tuning that a repair has to outlast."""
GONE = 0.05
"""The success under triggers that a repair climbs itself up to which a target is gone."""
STRONGER = replace(QUICK, additive=(0.2, 0.1), patch=(0.375, 0.25), frame=(1 / 7, 1 / 14))
"""A search with more than twice the area, twice the width and twice the change of a scan's."""


@dataclass(frozen=True)
class Known:
    """An attack that somebody planted and tells us about: used by measurements alone, never by scan or repair.

    `reference` is the never-planted model, where there is one.
    """

    trigger: Trigger
    target: str
    reference: Path | None = None


@dataclass(frozen=True)
class RepairRequest:
    """What to repair with, and where to; `base` is a clean model of the same architecture.

    A repair is begun again with what the last one left, up to `rounds` times. It is rolled back when benign quality is
    shown to drop by more than `margin`, relative. `force` repairs without a finding, against made-up triggers;
    `persistence` looks whether the repair lasts; `tracking` writes for TensorBoard; `divided` has the processes that
    train divide the layers among them.

    Raises UsageError when the method needs a base and there is none, or the layers nobody to be divided with.
    """

    method: Method
    out: Path
    schedule: Schedule = field(default_factory=Schedule)
    known: Known | None = None
    base: Path | None = None
    rounds: int = 1
    margin: float = 0.01
    force: bool = False
    persistence: bool = False
    tracking: bool = False
    divided: bool = False

    def __post_init__(self) -> None:
        if self.method.needs_base and self.base is None:
            raise no_base(self.method)
        if self.divided and company() == 1:
            raise UsageError(
                "there is nobody to divide the layers with", where="--fsdp", got="one process",
                expected="several, as `torchrun --nproc_per_node N -m auditor repair …` starts them",
                todo="start several, or leave --fsdp out",
            )  # fmt: skip


def to_unlearn(stored: Sequence[Stored], findings: Sequence[RecordedFinding]) -> list[Stored]:
    """The triggers of findings at which a scan fails by default; where there are none, of the lesser ones."""
    alarms = {place for place, finding in enumerate(findings) if SEVERITIES.index(finding.severity) >= ALARM}
    return [item for item in stored if item.finding in alarms or not alarms]


def repair_in_rounds(
    case: Case, request: RepairRequest, stored: Sequence[Stored], run: Path, options: Options, progress: Progress
) -> tuple[Repaired, list[RepairRound]]:
    """Repairs into `request.out`. After every round but the last the exported model is scanned again; while something
    is found, the model as given is repaired anew against all that is known by then."""
    recovered = [Recovered(item.trigger, item.target) for item in stored]
    if company() > 1 and (request.rounds > 1 or request.persistence):
        raise UsageError(
            "rounds and persistence are for one process", where="--rounds, --persistence", got="several processes",
            expected="one round", todo="leave them out, or repair with one process",
        )  # fmt: skip
    if request.force and request.method.needs_triggers and not recovered:
        recovered = make_triggers(case.opened.subject, case.parts.repair, options.seed)
    rounds: list[RepairRound] = []
    keepers: list[Keeper] = []
    opened = case.opened
    while True:
        number = len(rounds)
        path = run / f"repair-state-{number}.safetensors"
        keepers.append(Keeper(path, _identity(case, request, recovered, number, options)))
        done = _train(opened, case.parts.repair, request, recovered, run, keepers[-1], number, options, progress)
        if helps() or number + 1 >= request.rounds:
            break
        found = _look_again(opened, case, request, number, options, progress)
        rounds.append(RepairRound(targets=[item.target for item in found], seconds=done.seconds))
        if not found:
            break
        recovered += found
        opened = open_model(case.opened.folder, options)
    if not helps():
        export(opened.subject.model, case.opened.folder, request.out)
        for keeper in keepers:
            keeper.forget()
    return done, rounds


def _train(
    opened: Opened, samples: Sequence[Sample], request: RepairRequest, recovered: Sequence[Recovered], run: Path,
    keeper: Keeper, number: int, options: Options, progress: Progress,
) -> Repaired:  # fmt: skip
    """Trains the opened model in memory."""
    seed_everything_else(options.seed)
    steps = request.schedule.steps

    def tick(step: int, parts: Mapping[str, float]) -> None:
        again, done = divmod(step - 1, steps)
        what = "repair, once more," if again else "repair"
        progress(" ".join([what, *(f"{name} {value:.3f}" for name, value in parts.items())]), (done + 1) / steps)

    base = None
    if request.base is not None and request.method.needs_base:
        base = open_checkpoint(request.base, device=options.device, dtype=options.dtype)
    seed = options.seed if number == 0 else derive_seed(options.seed, "round", number)
    tracking = run / "tensorboard" if request.tracking and not helps() else None
    done = repair(
        opened.subject, request.method, request.schedule, samples, recovered, seed,
        Aside(tick, keeper, tracking, request.divided), None if base is None else base.subject.weights(),
    )  # fmt: skip
    return done if base is None else replace(done, base=base.manifest.digest)


def _identity(case: Case, request: RepairRequest, recovered: Sequence[Recovered], number: int, options: Options) -> str:
    """Of everything that the weights after a repair depend on, but for the number of processes."""
    triggers = []
    for item in recovered:
        about, values = numbers_and_values(item.trigger)
        triggers.append(
            [item.target, about, "" if values is None else hashlib.sha256(bytes(values.numpy())).hexdigest()]
        )
    parts = [
        case.opened.manifest.digest, case.data.digest, [sample.id for sample in case.parts.repair], options.seed,
        options.dtype, number, request.method.name, repr(request.method), asdict(request.schedule), triggers,
        torch.__version__,
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _look_again(
    opened: Opened, case: Case, request: RepairRequest, number: int, options: Options, progress: Progress
) -> list[Recovered]:
    """What a scan of the exported and reloaded model finds, on pictures that no repair learns from, divided anew."""
    folder = request.out.with_name(f".{request.out.name}-round-{number}")
    shutil.rmtree(folder, ignore_errors=True)
    seed = derive_seed(options.seed, "round", number)
    samples = [*case.parts.search, *case.parts.held_out]
    order = torch.randperm(len(samples), generator=generator(seed, "pictures")).tolist()
    mixed, count = [samples[place] for place in order], len(case.parts.search)
    try:
        export(opened.subject.model, case.opened.folder, folder)
        subject = open_model(folder, options).subject
        with frozen(subject.model):
            _, shown = search(
                subject, PROFILES[options.profile], mixed[:count], mixed[count:], seed, progress,
                references=case.parts.references,
            )  # fmt: skip
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    alarms = [item for item in best_by_target(shown) if SEVERITIES.index(item.finding.severity) >= ALARM]
    return [Recovered(trigger, target) for item in alarms for trigger, target in item.recovered]


def beyond(drops: Mapping[str, Measure], margin: float) -> str | None:
    """Why a repair is rolled back: a metric whose drop is shown to exceed the margin; None where there is none."""
    for name, drop in drops.items():
        if drop.low is not None and drop.low > margin:
            return (
                f"The repair was rolled back: {name} fell by {drop.value:.1%}, at least {drop.low:.1%} with 95 % "
                f"confidence (n = {drop.n}), and {share(margin)} is allowed."
            )
    return None


def outlives(path: Sequence[Step]) -> list[str]:
    """A doubt where the repair itself still brought a target about at its end, whatever a new search finds."""
    return [
        f"At the end of the repair a target was still said on {step.hits} of {step.asked} pictures that taught "
        f"nothing, under recovered triggers or ones climbed from them; {share(GONE)} would be called gone."
        for step in path[:1]
        if step.alive > GONE
    ]


def roll_back(folder: Path) -> Path:
    """Sets the repaired checkpoint aside, where nobody takes it for one to release."""
    aside = folder.with_name(f"{folder.name}.rolled-back")
    shutil.rmtree(aside, ignore_errors=True)
    folder.rename(aside)
    return aside


def look_whether_it_lasts(
    case: Case, request: RepairRequest, own: Answers, attacks: Sequence[Attack], options: Options, progress: Progress
) -> Persistence:
    """A stronger search of the repaired model, then benign fine-tuning of a copy in memory: does the attack return?"""
    verify = case.parts.verify
    half = len(verify) // 2
    wanted = list(dict.fromkeys(attack.target for attack in attacks))
    opened = open_model(request.out, options)
    seed = derive_seed(options.seed, "persistence")
    with frozen(opened.subject.model):
        searched, _ = search(
            opened.subject, STRONGER, verify[:half], verify[half:][:64], derive_seed(seed, "search"), progress, wanted,
            references=case.parts.references,
        )  # fmt: skip
    stronger = fresh_success(opened.subject, searched, verify[half:], own.clean[half:], wanted)

    def tick(step: int, parts: Mapping[str, float]) -> None:
        progress("benign fine-tuning of the repaired model", step / LASTS.steps)

    repair(opened.subject, Finetune(), LASTS, case.parts.repair, (), seed, Aside(tick))
    after = ask(opened.subject, verify, attacks)
    return Persistence(
        steps=LASTS.steps,
        asr={a.role: as_measure(success_of(verify, after.under[a.role], a.target, own)[HEADLINE]) for a in attacks},
        asr_stronger=None if stronger is None else as_measure(stronger),
        stronger=f"additive {max(STRONGER.additive):g}, patch {max(STRONGER.patch):g} and frame "
        f"{max(STRONGER.frame):.3g} of the picture's side",
    )
