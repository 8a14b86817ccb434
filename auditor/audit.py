"""The story: open, probe, repair, measure, explain, judge. Nothing else knows this order."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from auditor.attribution.explaining import explain, with_maps
from auditor.case import (
    Case,
    Options,
    Progress,
    describe_environment,
    describe_model,
    describe_settings,
    describe_versions,
    now,
    open_case,
    open_model,
    read_samples,
    tool,
)
from auditor.certification.policy import Policy
from auditor.certification.verdict import UNJUDGED, judge
from auditor.checkpoint.opening import Opened
from auditor.checkpoint.subject import frozen
from auditor.controls.shipped import shipped
from auditor.errors import InconclusiveError, UsageError
from auditor.evaluation.competence import measure_competence
from auditor.evaluation.scoring import (
    Answers,
    Attack,
    as_measure,
    ask,
    compare,
    coverage,
    quality_drop,
    recovery_against,
    score,
    with_placebo,
)
from auditor.evidence import Shown, best_by_target, record_findings
from auditor.repair.loop import Repaired
from auditor.repairing import (
    Known,
    RepairRequest,
    beyond,
    look_whether_it_lasts,
    outlives,
    repair_in_rounds,
    roll_back,
    to_unlearn,
)
from auditor.runs import RECORD, Stored, append_items, building, load_triggers, refuse_occupied
from auditor.searching import fresh_success, screen, search, statistic
from auditor.wording import (
    answer_pairs,
    describe_limits,
    describe_repair,
    describe_search,
    item_rows,
    nothing_searched,
    scope,
)
from probes.finding import Rate
from probes.inversion import PROFILES
from probes.sample import Sample
from probes.seeding import derive_seed
from probes.suspects import Searched
from reports.record import AuditRecord, BeforeAfter, DataInfo, RecordedFinding, Scores, load_record, save_record
from reports.repair import RepairRound


@dataclass(frozen=True)
class Made:
    """A repair that was exported, and opened again from disk."""

    done: Repaired
    rounds: list[RepairRound]
    opened: Opened


def silent(what: str, share: float) -> None:
    """For processes that only help."""


def scan(
    model: Path, data: Path | None, suspect: Path | None, out: Path, options: Options, progress: Progress
) -> AuditRecord:
    """Looks for backdoors and writes the run folder; nothing is written before model and data have been checked.

    Data that cannot carry a search (too few different pictures) leaves a record as well, which says so.
    """
    began = time.monotonic()
    refuse_occupied(out)
    try:
        case = open_case(model, data, suspect, options, progress)
    except InconclusiveError as error:
        with building(out) as folder:
            return _not_searched(model, data, folder, options, error)
    with building(out) as folder:
        return _scanned(case, folder, options, progress, began)


def _not_searched(model: Path, data: Path | None, out: Path, options: Options, error: InconclusiveError) -> AuditRecord:
    """The record of a run that did not come to a search, with the reason."""
    opened = open_model(model, options)
    samples, info = read_samples(data, options.seed)
    reason = f"Nothing was searched: {error.message} ({error.got}; needed: {error.expected})."
    record = AuditRecord(
        tool=tool(), command=list(options.command), created=now(), seed=options.seed, seconds=None,
        settings=describe_settings(options, {"data": info.path}), versions=describe_versions(),
        environment=describe_environment(options), verdict=UNJUDGED, doubts=[reason], fail_on=options.fail_on,
        model=describe_model(opened), data=info, coverage=coverage(samples, {}), search=nothing_searched(),
        limits=[*opened.notes, *scope(PROFILES[options.profile])],
    )  # fmt: skip
    record = _judged(record, options)
    save_record(record, out / RECORD)
    return record


def _scanned(case: Case, out: Path, options: Options, progress: Progress, began: float) -> AuditRecord:
    """Probes, judges and records into `out`; a model that does not look at pictures is not searched."""
    probe = PROFILES[options.profile]
    shown: list[Shown] = []
    searched: Searched | None = None
    doubts: list[str] = []
    if case.competence.passed:
        with frozen(case.opened.subject.model):
            searched, shown = search(
                case.opened.subject, probe, case.parts.search, case.parts.held_out, options.seed, progress,
                references=case.parts.references,
            )  # fmt: skip
            screened, doubts = screen(case, options.seed, progress)
        shown = best_by_target([*shown, *screened])
    sample = case.parts.held_out[0]
    findings = with_maps(record_findings(shown, out, sample), shown, case.opened.subject, sample, out)
    covered = coverage(
        [*case.parts.search, *case.parts.held_out], searched.habits.answers if searched is not None else {}
    )
    pictures = len(case.parts.search), len(case.parts.held_out)
    table = shipped(case.opened, options.profile, pictures, statistic(searched)) if searched is not None else None
    record = AuditRecord(
        tool=tool(), command=list(options.command), created=now(), seed=options.seed, seconds=time.monotonic() - began,
        calibrated_by=table, calibration="none" if table is None else table.source,
        settings=describe_settings(options, {"profile": options.profile, "data": case.data.path}),
        versions=describe_versions(), environment=describe_environment(options), verdict=UNJUDGED, doubts=doubts,
        fail_on=options.fail_on, model=describe_model(case.opened), data=case.data,
        suspect=None if case.suspect is None else _describe_suspect(case),
        competence=case.competence, findings=findings, coverage=covered,
        scores=BeforeAfter(before=_scan_scores(shown)), limits=[*case.opened.notes, *scope(probe)],
        search=describe_search(probe, options.profile, searched, case.parts, case.suspect),
        timings={"scan": time.monotonic() - began},
    )  # fmt: skip
    record = _judged(record, options)
    append_items(out, item_rows("scan", case.parts, searched))
    save_record(record, out / RECORD)
    return record


def _judged(record: AuditRecord, options: Options) -> AuditRecord:
    """With the limits that are left, and what it says of itself."""
    return judge(record.model_copy(update={"limits": describe_limits(record)}), Policy(fail_on=options.fail_on))


def repair_run(
    run: Path, model: Path, data: Path | None, request: RepairRequest, options: Options, progress: Progress
) -> AuditRecord:
    """Goes on from a scan: repairs into a new folder, reloads it, measures both models, and adds it all to the run."""
    began = time.monotonic()
    record = load_record(run / RECORD)
    options = replace(options, profile=record.search.profile)
    refuse_occupied(request.out)
    case = open_case(model, data, None, options, progress, split_seed=record.seed)
    check_same(record, case)
    stored = to_unlearn(load_triggers(run), record.findings)
    attacks = with_placebo(_attacks(stored, request.known), options.seed)
    progress("measuring the model as given", 0.0)
    own = ask(case.opened.subject, case.parts.verify, attacks)
    done, rounds = repair_in_rounds(case, request, stored, run, options, progress)
    made = Made(done, rounds, open_model(request.out, options))
    return _verify(run, record, case, request, own, attacks, made, options, progress, began)


def help_to_repair(run: Path, model: Path, data: Path | None, request: RepairRequest, options: Options) -> None:
    """What every process of a crew but the first does: it trains along; measuring and writing are that one's."""
    record = load_record(run / RECORD)
    case = open_case(model, data, None, options, silent, split_seed=record.seed)
    check_same(record, case)
    repair_in_rounds(case, request, to_unlearn(load_triggers(run), record.findings), run, options, silent)


def _verify(
    run: Path, record: AuditRecord, case: Case, request: RepairRequest, own: Answers, attacks: Sequence[Attack],
    made: Made, options: Options, progress: Progress, began: float,
) -> AuditRecord:  # fmt: skip
    """Measures the exported artefact on pictures that neither scan nor repair has seen, explains it, and judges it."""
    verify, repaired = case.parts.verify, made.opened
    progress("measuring the repaired model", 0.0)
    after = ask(repaired.subject, verify, attacks)
    half = len(verify) // 2
    wanted = list(dict.fromkeys(attack.target for attack in attacks))
    with frozen(repaired.subject.model):
        searched, shown = search(
            repaired.subject, PROFILES[options.profile], verify[:half], verify[half:][:64],
            derive_seed(options.seed, "fresh"), progress, wanted, references=case.parts.references,
        )  # fmt: skip
    fresh = fresh_success(repaired.subject, searched, verify[half:], after.clean[half:], wanted)
    scores = BeforeAfter(
        before=score(verify, own, own, attacks, _scan_fresh(record.findings), options.seed),
        after=score(verify, after, own, attacks, fresh, options.seed),
    )
    scores = _against_reference(scores, request.known, verify, own, after, attacks, options)
    drops = quality_drop(verify, own, after, options.seed)
    reason = beyond(drops, request.margin)
    looks = request.persistence and reason is None
    lasts = look_whether_it_lasts(case, request, own, attacks, options, progress) if looks else None
    repair = describe_repair(request, made.done, drops).model_copy(
        update={"rounds": made.rounds, "persistence": lasts, "rolled_back": reason}
    )
    competence = measure_competence(repaired.subject, case.parts.held_out, options.seed)
    covered = coverage(verify, {sample.id: answer for sample, answer in zip(verify, after.clean, strict=True)})
    progress("attribution", 0.0)
    original = open_model(case.opened.folder, options)
    maps = explain(original.subject, repaired.subject, verify, attacks, run, request.known is not None)
    continued = record.model_copy(
        update={
            "command": list(options.command), "created": now(),
            "verdict": UNJUDGED.model_copy(update={"about": "repaired model"}), "drops": drops,
            "doubts": outlives(made.done.path) if record.findings else [],
            "scan_verdict": record.scan_verdict or record.own_verdict, "certification": None,
            "competence": competence, "coverage": covered, "repaired_model": describe_model(repaired),
            "findings_after": record_findings(best_by_target(shown), run, verify[0], "after"), "scores": scores,
            "paired": compare(verify, own, after, [a for a in attacks if a.role != "placebo"]),
            "repair": repair, "calibration": "none",
            "search": record.search.model_copy(update={"statistic_after": statistic(searched)}),
            "attribution": maps, "answers": answer_pairs(verify, own, after, attacks),
            "seconds": (record.seconds or 0.0) + time.monotonic() - began,
            "timings": {**record.timings, "repair": time.monotonic() - began},
        }
    )  # fmt: skip
    if reason is not None:
        aside = roll_back(request.out)
        continued = continued.model_copy(
            update={"repaired_model": describe_model(repaired).model_copy(update={"path": str(aside)})}
        )
    continued = _judged(continued, options)
    append_items(run, item_rows("verify", case.parts, None, own, after))
    keep_scan_record(run)
    save_record(continued, run / RECORD)
    return continued


def _against_reference(
    scores: BeforeAfter, known: Known | None, verify: Sequence[Sample], own: Answers, after: Answers,
    attacks: Sequence[Attack], options: Options,
) -> BeforeAfter:  # fmt: skip
    """Where the never-planted model is known, recovery is relative to its answers on the same stamped pictures."""
    if known is None or known.reference is None or scores.after is None:
        return scores
    reference = open_model(known.reference, options)
    right = ask(reference.subject, verify, attacks[:1]).under[attacks[0].role]
    sides = [recovery_against(verify, side.under[attacks[0].role], right, options.seed) for side in (own, after)]
    return BeforeAfter(
        before=scores.before.model_copy(update={"recovery": sides[0]}),
        after=scores.after.model_copy(update={"recovery": sides[1]}),
    )


def _attacks(stored: Sequence[Stored], known: Known | None) -> list[Attack]:
    attacks = [] if known is None else [Attack("true", known.trigger, known.target)]
    return attacks + [Attack("recovered", item.trigger, item.target) for item in stored[:1]]


def _scan_fresh(findings: Sequence[RecordedFinding]) -> Rate | None:
    rates = [Rate(f.asr.hits, f.asr.trials) for f in findings if f.asr is not None and f.probe == "inversion"]
    return max(rates, key=lambda rate: rate.value, default=None)


def _scan_scores(shown: Sequence[Shown]) -> Scores:
    """What the scan alone has measured, on its held-out pictures, of its worst finding."""
    if not shown:
        return Scores()
    worst = shown[0].finding
    return Scores(
        asr_recovered=as_measure(worst.asr) if worst.asr else None,
        placebo=as_measure(worst.placebo) if worst.placebo else None,
        false_trigger=as_measure(worst.clean) if worst.clean else None,
    )


def check_same(record: AuditRecord, case: Case) -> None:
    """Raises UsageError when model or data are not those of the run that is to go on."""
    for name, then, now_ in (
        ("model", record.model.digest, case.opened.manifest.digest),
        ("data", record.data.digest, case.data.digest),
    ):
        if then != now_:
            raise UsageError(
                f"the {name} is not the one that was scanned", where="--findings", got=f"sha256 {now_}",
                expected=f"sha256 {then}", todo=f"give the {name} of the run, or scan again",
            )  # fmt: skip


def keep_scan_record(run: Path) -> None:
    """The record as it was after the scan stays beside the one that goes on."""
    kept = run / "record.scan.json"
    if not kept.exists():
        kept.write_bytes((run / RECORD).read_bytes())


def _describe_suspect(case: Case) -> DataInfo:
    assert case.suspect is not None
    return DataInfo(path=str(case.suspect.path), digest=case.suspect.digest, samples=len(case.suspect.samples))
