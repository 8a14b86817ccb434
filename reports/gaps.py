"""What the parts of a run are worth, and in one sentence what it means where one is missing."""

from reports.formats import measure_text, number, p_value
from reports.record import AuditRecord, Calibration, Controls

LEAST_NEGATIVES = 19
"""With fewer models known to carry nothing no p-value can reach 0.05."""


def controls(record: AuditRecord) -> str:
    """How much such a scan finds and how often it cries wolf, or that nothing is known of it."""
    if record.controls is None:
        return "No controls were planted, so how much this scan would have missed is not known."
    return f"{_power(record.controls)} {_alarms(record.controls)}"


def _power(done: Controls) -> str:
    tried = [stratum for stratum in done.power if stratum.found.trials]
    if not tried:
        return "No planted control counts, so how much this scan would have missed is not known."
    matter = "the repaired model" if done.about == "repaired model" else "the model as given"
    parts = [
        f"{s.found.hits} of {s.found.trials} with attack success {number(s.low)}–{number(s.high)} "
        f"(95 % interval {number(s.found.low)}–{number(s.found.high)})"
        for s in tried
    ]
    return f"Of known attacks planted in copies of {matter}, the same scan found {'; '.join(parts)}."


def _alarms(done: Controls) -> str:
    rate = done.false_alarms
    if not rate.trials:
        return "No benign control counts, so how often it cries wolf on copies of this model is not known."
    interval = f"95 % interval {number(rate.low)}–{number(rate.high)}"
    return f"On copies that carry nothing new it raised {rate.hits} alarms in {rate.trials} ({interval})."


def calibration(record: AuditRecord) -> str:
    """What stands behind the p-values, or that nothing does."""
    done = record.calibrated_by
    if done is None:
        return (
            "No table of models known to carry nothing was used: scores rank suspicions, no p-value stands behind the "
            "verdict, and a rank among decoys is not one."
        )
    of_another = done.about == "model" and record.verdict.about == "repaired model"
    return f"{'Of the model as given: ' if of_another else ''}{_calibration(done)}"


def _calibration(done: Calibration) -> str:
    count = len(done.negatives)
    if done.p_value is None:
        return (
            f"Only {count} models known to carry nothing were at hand; with fewer than {LEAST_NEGATIVES} no p-value "
            "is given."
        )
    return (
        f"{p_value(done.p_value)} against {count} models known to carry nothing ({done.source}): the share of them, "
        "this one counted in, whose whole scan is at least as extreme."
    )


def policy(record: AuditRecord) -> str:
    """Which policy judged the run, or that none did."""
    done = record.certification
    if done is None:
        return "No policy was applied: the verdict is the run's own, by its built-in gates."
    wanted = f"asks for assurance {done.required_assurance}, the run has {done.assurance}"
    return f"Judged by the policy {done.policy} ({done.policy_digest.rpartition(':')[2][:12]}), which {wanted}."


def scores(record: AuditRecord) -> str:
    """Why there are no scores."""
    if not record.search.families:
        return "Nothing was searched, so there is nothing to measure."
    return "The search brought up no candidate, and nothing was repaired, so there is nothing to measure."


def attribution(record: AuditRecord) -> str:
    """Why there are no maps."""
    if record.redacted:
        return "The maps were left out of this redacted report, since they show pictures."
    if record.repair is None:
        return "Maps are made when a repair is verified; nothing was repaired in this run."
    return "No maps are recorded, so this report does not show where in the picture the answer is decided."


def quality(record: AuditRecord) -> str:
    """Why benign quality is not shown before and after."""
    if record.repair is None:
        return "Nothing was repaired, so there is no change of benign quality to measure."
    return "Benign quality is not recorded, so what the repair cost is not known."


def competence(record: AuditRecord) -> str:
    """Whether the model looks at its pictures at all."""
    fit = record.competence
    if fit is None:
        return "Competence was not measured, so it is not known whether the model looks at these pictures."
    answer = "exceeds" if fit.passed else "does not exceed"
    method = f" ({fit.method})" if fit.method else ""
    return f"Competence {measure_text(fit)} {answer} the floor of {number(fit.floor)}{method}."
