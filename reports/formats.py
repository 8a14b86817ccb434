"""Numbers and untrusted text as they are printed."""

import unicodedata
from collections.abc import Sequence
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from pathlib import PurePath

from markupsafe import Markup

from reports.certification import RuleResult
from reports.record import Competence, Measure, RateInterval

NOTHING = "–"


def number(value: float | None) -> str:
    """Two decimals, more where two would round a difference from 0 or 1 away; a dash for null."""
    if value is None:
        return NOTHING
    size = abs(value)
    if isinstance(value, int) or size >= 1e6:
        return f"{value:,.0f}".replace("-", "−")
    if 0 < size < 1e-4:
        return f"{value:.1g}".replace("-", "−")
    return _rounded(value, _decimals(size)).replace("-", "−")


def _decimals(size: float) -> int:
    if size >= 20:
        return 0 if size >= 1000 else 1
    if 0 < size < 0.01:
        return 3 if size >= 5e-4 else 4
    if 0.995 <= size < 1:
        return 3 if size < 0.9995 else 4
    return 2


def _rounded(value: float, decimals: int) -> str:
    # Halves go up as on paper: 3 of 200 prints as 0.02, not as the 0.01 that binary rounding gives.
    return str(Decimal(repr(float(value))).quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP))


def budget(value: float | None) -> str:
    """Three significant digits; a dash for null."""
    return NOTHING if value is None else f"{value:.3g}"


def measure(item: Measure | RateInterval | Competence | None) -> Markup:
    """As "0.98 (0.95–0.99, n = 200)", broken over lines before the bracket only; a dash where nothing was measured."""
    value, bracket, rest = measure_text(item).partition(" (")
    return Markup("{}{}").format(value, Markup(' <span class="nb">({}</span>').format(rest) if bracket else "")


def measure_text(item: Measure | RateInterval | Competence | None) -> str:
    """The same as plain text."""
    if item is None:
        return NOTHING
    shown = item.measure if isinstance(item, RateInterval) else item
    if shown.value is None:
        return f"not defined (n = {shown.n})"
    if shown.low is None or shown.high is None:
        return f"{number(shown.value)} (n = {shown.n:,})"
    dash = " to " if shown.low < 0 else "–"
    return f"{number(shown.value)} ({number(shown.low)}{dash}{number(shown.high)}, n = {shown.n:,})"


def counted(item: RateInterval | None) -> Markup:
    """As "2 of 2 (0.16–1.00)", a share of few, where the count says more; a dash where nothing was tried."""
    text = "" if item is None else counted_text(item)
    return Markup('<span class="nb">{}</span>').format(text or NOTHING)


def counted_text(item: RateInterval) -> str:
    """The same as plain text; empty where nothing was tried."""
    if not item.trials:
        return ""
    interval = "" if item.low is None or item.high is None else f" ({number(item.low)}–{number(item.high)})"
    return f"{item.hits} of {item.trials}{interval}"


def rule_measure(rule: RuleResult) -> Markup:
    """What a rule of a policy measured, with its interval and n where it has them."""
    if rule.n is None:
        return Markup("{}").format(number(rule.measured))
    return measure(Measure(value=rule.measured, low=rule.low, high=rule.high, n=rule.n))


def p_value(value: float | None) -> str:
    """As "p = 0.012" or "p < 0.001"."""
    if value is None:
        return "no p-value"
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"


def null_summary(null: Sequence[float | None]) -> str:
    """The null values as median, range and n."""
    values = sorted(value for value in null if value is not None)
    if not values:
        return "no null"
    middle = len(values) // 2
    median = values[middle] if len(values) % 2 else (values[middle - 1] + values[middle]) / 2
    dash = " to " if values[0] < 0 else "–"
    return f"median {number(median)}, range {number(values[0])}{dash}{number(values[-1])}, n = {len(values)}"


def duration(seconds: float | None) -> str:
    """Seconds as people say them."""
    if seconds is None:
        return "time not recorded"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def count(value: int | None) -> str:
    """A large count in words: 1.2 million."""
    if value is None:
        return "unknown"
    for size, word in ((1_000_000_000, "billion"), (1_000_000, "million")):
        if value >= size:
            return f"{value / size:.1f} {word}"
    return f"{value:,}"


def plain(value: object) -> str:
    """A setting's value without the brackets of Python."""
    if isinstance(value, list):
        return ", ".join(plain(inner) for inner in value) or "none"
    if isinstance(value, dict):
        return ", ".join(f"{key} {plain(inner)}" for key, inner in value.items()) or "none"
    if value is None or isinstance(value, bool):
        return "none" if value is None else "yes" if value else "no"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def moment(created: str) -> str:
    """An ISO time to the minute, as people write it; anything else as it stands."""
    try:
        return datetime.fromisoformat(created).strftime("%Y-%m-%d %H:%M %Z").strip()
    except ValueError:
        return created


def day(created: str) -> str:
    """The date of an ISO time; anything else as it stands."""
    try:
        return datetime.fromisoformat(created).strftime("%Y-%m-%d")
    except ValueError:
        return created


def short_digest(digest: str) -> str:
    """The first 12 hexadecimal digits."""
    return digest.rpartition(":")[2][:12]


def base_name(path: str) -> str:
    """The last part of a path."""
    return PurePath(path).name or path


def shorten(text: str, limit: int = 220) -> str:
    """At most `limit` characters, and how many there were."""
    return text if len(text) <= limit else f"{text[:limit].rstrip()}… ({len(text):,} characters)"


def visible(text: object) -> object:
    """Text with control, bidirectional and unassigned characters spelled out, so that no model output can dress up."""
    if not isinstance(text, str) or isinstance(text, Markup) or (text.isascii() and text.isprintable()):
        return text
    return "".join(_spelled(character) for character in text)


def _spelled(character: str) -> str:
    if character == "\n":
        return "⏎"
    hidden = unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Cn")
    return f"⟨U+{ord(character):04X}⟩" if hidden else character
