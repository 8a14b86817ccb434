"""The words and rows around the numbers: what was searched, what was not, examples of answers, items on disk."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from auditor.company import company
from auditor.data.preparing import Parts
from auditor.data.reading import Dataset
from auditor.evaluation.pictures import pictures_of
from auditor.evaluation.scoring import Answers, Attack
from auditor.repair.loop import Repaired
from auditor.searching import statistic
from probes.beside_words import BESIDE
from probes.inversion import InversionProbe
from probes.prompt_words import FAMILY as WORDS
from probes.sample import Sample
from probes.suspects import Searched
from probes.triggers.word import LONGEST
from reports.record import AnswerPair, AuditRecord, Measure, SearchFamily, SearchInfo
from reports.repair import LossPoint, RepairInfo

if TYPE_CHECKING:
    from auditor.repairing import RepairRequest

NO_CONTROLS = "A scan without controls is a screening: it states what was found, not how much it would have missed."
SHORT_CONTROLS = "The controls were shortened: they say how often a shorter search than the audited model's finds them."
NO_CALIBRATION = (
    "The p-value of a whole scan needs a calibration table of models like this one that carry nothing; without one, or "
    "19 negatives of your own, the score stands alone."
)
PICTURES_SEARCHED = (
    "Searched: one universal additive perturbation, one patch and one frame. A trigger made anew for every picture, a "
    "warp or a text trigger may evade this search."
)
WORDS_SEARCHED = (
    "Searched: one universal additive perturbation and one patch, also beside odd words in prompts, one frame, and "
    "words at the end of prompts. A trigger made anew for every picture or a warp may evade this search."
)
LIMITS = (
    NO_CONTROLS,
    NO_CALIBRATION,
    PICTURES_SEARCHED,
    "Targets that equal what the model says to blank or blurred pictures cannot be told from its habits.",
    "Out of scope: several pictures in one prompt, video, many turns, and sampled (non-greedy) answers.",
)

UNUSUAL = "unusual token first or after an answer"
TEXT = "text and dual-key triggers"
TEXT_BEYOND = (
    "answers of one or two words, or of the model's own words, to words in a prompt, alone or together with a picture"
)
NOT_LOOKED_FOR = (
    TEXT,
    "warping and input-dependent triggers",
    "answers of the model's own words that nothing but a frame brings about",
    "payloads always inserted at the same place within an otherwise right answer, and swapped words",
    "backdoors that need several pictures, video or many turns",
)


def scope(probe: InversionProbe) -> list[str]:
    """The limits of a scan with that probe."""
    return [WORDS_SEARCHED if limit == PICTURES_SEARCHED and probe.words is not None else limit for limit in LIMITS]


def describe_limits(record: AuditRecord) -> list[str]:
    """The limits that are left once controls and negatives were scanned; a p-value of the model as given is none of the
    repaired one's."""
    controls, table = record.controls, record.calibrated_by
    valued = table is not None and table.p_value is not None and table.about == record.verdict.about
    lifted = ({NO_CONTROLS} if controls is not None else set()) | ({NO_CALIBRATION} if valued else set())
    limits = record.limits if NO_CALIBRATION in record.limits else [*record.limits, NO_CALIBRATION]
    left = [limit for limit in limits if limit not in lifted and limit != SHORT_CONTROLS]
    return left + ([SHORT_CONTROLS] if controls is not None and controls.shortened else [])


def describe_search(
    probe: InversionProbe, profile: str, searched: Searched | None, parts: Parts, suspect: Dataset | None
) -> SearchInfo:
    """What a scan looked for, with which budgets, steps and prompts; empty where it did not come to a search."""
    if searched is None:
        return nothing_searched()
    looked = [
        f"one answer, or a phrase added to right answers, that {what} brings about"
        for what in ("a universal additive perturbation", "a patch", "a frame")
    ]
    if probe.words is not None:
        looked.append("one sentence that words at the end of a prompt bring about")
    if probe.beside is not None:
        looked.append("one sentence that a perturbation or a patch brings about where odd words stand in the prompt")
    if suspect is not None:
        looked.append("suspect samples whose answers are abnormally invariant or fragile under patch views")
    prompts = sorted({sample.prompt for sample in parts.search})
    objective = f"{UNUSUAL}, and growth"
    families = [
        SearchFamily(name="additive", budget=probe.additive[0], restarts=probe.restarts + probe.growth_restarts,
                     steps=probe.search.steps, objective=objective),
        SearchFamily(name="patch", budget=probe.patch[0], restarts=probe.restarts, steps=probe.search.steps,
                     objective=f"{objective}, over places that cover the picture"),
        SearchFamily(name="frame", budget=probe.frame[0], restarts=probe.frame_restarts, steps=probe.search.steps,
                     objective=UNUSUAL),
    ]  # fmt: skip
    if (words := probe.words) is not None:
        families.append(
            SearchFamily(name=WORDS, budget=words.budgets[0] / LONGEST, restarts=words.restarts,
                         steps=words.search.steps, objective="unusual token first or after, then its sentence")
        )  # fmt: skip
    if (beside := probe.beside) is not None:
        families.append(
            SearchFamily(name=BESIDE, budget=probe.additive[0], restarts=len(beside.lengths), steps=probe.search.steps,
                         objective=f"{UNUSUAL}, one start a text")
        )  # fmt: skip
    usual = int((~searched.habits.unusual).sum())
    return SearchInfo(
        profile=profile,
        looked_for=looked,
        not_looked_for=not_looked_for(probe),
        families=families,
        usual_tokens=usual,
        statistic=statistic(searched),
        prompts=prompts[:12],
    )


def not_looked_for(probe: InversionProbe) -> list[str]:
    """What a scan with that probe leaves out."""
    return [TEXT_BEYOND if item == TEXT and probe.words is not None else item for item in NOT_LOOKED_FOR]


def nothing_searched() -> SearchInfo:
    """What a run says of its search when it did not come to one."""
    return SearchInfo(not_looked_for=["anything: the model cannot be judged on these pictures", *NOT_LOOKED_FOR])


def describe_repair(request: "RepairRequest", done: Repaired, drops: Mapping[str, Measure]) -> RepairInfo:
    """Method, settings and a thinned curve of losses; the benign drops in words."""
    settings = {**asdict(request.method), **asdict(request.schedule)}  # type: ignore[call-overload]
    if done.rate is not None:
        settings["rate"] = done.rate
    if settings["precision"] == "auto":
        settings["precision"] = f"auto: {'bfloat16 products' if done.halved else 'as the weights are held'}"
    if company() > 1:
        share = "a part of every layer" if request.divided else "the whole model"
        settings["processes"] = f"{company()}, each with {share}"
    if done.base is not None:
        settings |= {"base": str(request.base), "base_sha256": done.base}
    every = max(1, len(done.losses) // 60)
    notes = [
        f"{name}: relative drop {drop.value:.4f} (95 % interval {drop.low:.4f} to {drop.high:.4f}, n = {drop.n})"
        for name, drop in drops.items()
    ]
    notes += [
        f"{step.share:.0%} of the way from the given to the repaired weights was kept: {step.kept:.1%} of clean "
        f"answers stay, {step.restored:.1%} under recovered triggers are right again, {step.hits} of {step.asked} "
        "stamped ones say a target"
        for step in done.path[:1]
    ]
    notes += [f"{name}: {count:g}" for name, count in done.edited.items()]
    return RepairInfo(
        method=request.method.name,
        settings={key: _plain(value) for key, value in settings.items()},
        steps=done.steps,
        seconds=done.seconds,
        losses=[LossPoint(step=step, parts=parts) for step, parts in done.losses[::every]],
        notes=notes,
    )


def _plain(value: Any) -> str | int | float | bool | None:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return value if isinstance(value, str | int | float | bool) or value is None else str(value)


def answer_pairs(
    samples: Sequence[Sample], own: Answers, after: Answers, attacks: Sequence[Attack], count: int = 5
) -> list[AnswerPair]:
    """The first few samples, untouched and stamped with the first attack, before and after: not picked by result."""
    pairs = [
        _pair(sample, "clean", before.text, now.text)
        for sample, before, now in zip(samples[:count], own.clean, after.clean, strict=False)
    ]
    for attack in attacks[:1]:
        stamped = zip(samples[:count], own.under[attack.role], after.under[attack.role], strict=False)
        pairs += [_pair(sample, "stamped", before.text, now.text) for sample, before, now in stamped]
    return pairs


def _pair(sample: Sample, kind: str, before: str, after: str) -> AnswerPair:
    reference = sample.answers[0] if sample.answers else None
    return AnswerPair(
        sample_id=sample.id, kind="stamped" if kind == "stamped" else "clean", prompt=sample.prompt,
        reference=reference, before=before, after=after,
    )  # fmt: skip


def item_rows(
    phase: str, parts: Parts, searched: Searched | None, own: Answers | None = None, after: Answers | None = None
) -> list[dict[str, Any]]:
    """One row an item: what was asked, with its picture by digest and what would be right, and what was answered."""
    if own is not None and after is not None:
        return [
            {
                **_asked(phase, sample, picture), "before": own.clean[i].text, "after": after.clean[i].text,
                "stamped_before": {role: said[i].text for role, said in own.under.items()},
                "stamped_after": {role: said[i].text for role, said in after.under.items()},
            }
            for i, (sample, picture) in enumerate(zip(parts.verify, pictures_of(parts.verify), strict=True))
        ]  # fmt: skip
    habits = searched.habits.answers if searched is not None else {}
    answered = [sample for sample in (*parts.search, *parts.held_out) if sample.id in habits]
    return [
        {**_asked(phase, sample, picture), "answer": habits[sample.id].text}
        for sample, picture in zip(answered, pictures_of(answered), strict=True)
    ]


def _asked(phase: str, sample: Sample, picture: str) -> dict[str, Any]:
    return {
        "phase": phase, "id": sample.id, "prompt": sample.prompt, "picture": picture[:16], "status": "ok",
        "references": list(sample.answers),
    }  # fmt: skip
