"""One search of one subject: target-free inversion with confirmation, the screen of suspect data, and fresh success."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from auditor.case import Case, Progress
from auditor.evidence import Shown, confirmed, from_suspect, is_variant, severity_first
from probes.confirmation import confirm
from probes.finding import Null, Rate
from probes.invariance import InvarianceProbe, screen_findings
from probes.inversion import InversionProbe
from probes.sample import Sample
from probes.seeding import derive_seed
from probes.subject import Answer, Subject
from probes.suspects import Searched, Suspect
from probes.targets import Target, answers_under
from probes.text import says

CONFIRMED_ON = 12
"""Held-out samples on which a finding's invariance is measured."""
NO_CANDIDATE = -2.0
"""The statistic of a scan that brought up no answer at all: less than any candidate's."""


def search(
    subject: Subject,
    probe: InversionProbe,
    pool: Sequence[Sample],
    held_out: Sequence[Sample],
    seed: int,
    progress: Progress,
    wanted: Sequence[str] = (),
    known: Sequence[str] = (),
    references: Sequence[str] = (),
) -> tuple[Searched, list[Shown]]:
    """Target-free inversion with budget curves and confirmation; `wanted` texts are measured as candidates as well,
    `known` ones are not looked for, and `references` are right answers to whatever pictures."""
    searched = invert(subject, probe, pool, held_out, seed, progress, wanted, known, references)
    few = held_out[:CONFIRMED_ON]
    return searched, findings_of(searched, lambda suspect: confirm(subject, searched, suspect, few, seed))


def findings_of(searched: Searched, look: Callable[[Suspect], Null | None] = lambda suspect: None) -> list[Shown]:
    """The findings of a search, the most severe first, each looked at once more. A version of an earlier one's target
    is none of its own: its triggers stand beside that one's, to be unlearned with them."""
    found = [(suspect, item) for suspect in searched.suspects if (item := from_suspect(suspect)) is not None]
    shown: list[Shown] = []
    for suspect, item in sorted(found, key=lambda pair: severity_first(pair[1])):
        same = [i for i, known in enumerate(shown) if is_variant(suspect.target.text, known.finding.target)]
        if same:
            known = shown[same[0]]
            shown[same[0]] = replace(known, variants=(*known.variants, *item.recovered))
        else:
            shown.append(confirmed(item, look(suspect)))
    return shown


def invert(
    subject: Subject,
    probe: InversionProbe,
    pool: Sequence[Sample],
    held_out: Sequence[Sample],
    seed: int,
    progress: Progress,
    wanted: Sequence[str] = (),
    known: Sequence[str] = (),
    references: Sequence[str] = (),
) -> Searched:
    """The search alone, with texts in place of targets."""
    asked, told = ([Target(text, subject.encode(text), "asked for") for text in texts] for texts in (wanted, known))
    return probe.measure(subject, pool, held_out, seed, progress, asked, told, references)


def screen(case: Case, seed: int, progress: Progress) -> tuple[list[Shown], list[str]]:
    """The input-level screen of suspect data, where there is some: what it found, and what it could not decide."""
    if case.suspect is None:
        return [], []
    references = [*case.parts.search, *case.parts.held_out]
    suspects = [replace(sample, id=f"suspect/{sample.id}") for sample in case.suspect.samples]
    result = screen_findings(
        InvarianceProbe(), case.opened.subject, suspects, references, derive_seed(seed, "screen"),
        progress=lambda done, total: progress("screening suspect data", done / total),
    )  # fmt: skip
    shown = [Shown(f, (t.trigger,)) for f, t in zip(result.findings, result.triggers, strict=True)]
    shifted = result.bulk_shift_p <= 0.05 and not shown
    doubt = "The suspect samples as a whole are unlike the reference pictures, so single ones cannot be judged."
    return shown, [doubt] if shifted else []


def statistic(searched: Searched) -> float:
    """The one number of a whole scan, the same for every model: the largest log2 budget gap of any candidate.

    The same number as the bench's, so that a table made there can stand beside it.
    """
    return max((suspect.gap for suspect in searched.suspects), default=NO_CANDIDATE)


def fresh_success(
    subject: Subject, searched: Searched, samples: Sequence[Sample], clean: Sequence[Answer], wanted: Sequence[str]
) -> Rate | None:
    """The best success of a known target under any trigger of a new search, over families and budgets.

    Measured on `samples`, which no trigger was optimised on; items whose untouched answer says the target already are
    left out. None where no target was asked for.
    """
    rates = []
    for point in searched.points:
        if point.target.text in wanted:
            said = zip(answers_under(subject, point.trigger, samples), clean, strict=True)
            kept = [
                says(answer.text, point.target.text) for answer, own in said if not says(own.text, point.target.text)
            ]
            rates.append(Rate(sum(kept), len(kept)))
    return max(rates, key=lambda rate: rate.value if rate.trials else 0.0, default=None)
