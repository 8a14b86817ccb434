"""Where in a TOML text a field stands: what the parser does not tell, for messages that name a line."""

import re
from collections.abc import Sequence

_HEADER = re.compile(r"^\s*(\[\[|\[)\s*([^\]]+?)\s*\]\]?")


def find_line(text: str, place: Sequence[str | int]) -> int:
    """The line (from 1) of the deepest part of `place` that is found: keys are names, entries of arrays numbers.

    A field that is missing has no line: its section's header stands for it, and line 1 for the top of the file.
    """
    best, depth = 1, 0
    section: tuple[str | int, ...] = ()
    counts: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        header = _HEADER.match(line)
        if header:
            section = _section(header, counts)
            here = section
        else:
            key = re.match(r"^\s*([A-Za-z0-9_\-\"']+)\s*=", line)
            here = (*section, key.group(1).strip("\"'")) if key else ()
        if here and len(here) > depth and tuple(place[: len(here)]) == here:
            best, depth = number, len(here)
    return best


def _section(header: re.Match[str], counts: dict[str, int]) -> tuple[str | int, ...]:
    """("attacks", 1) for the second [[attacks]], ("attacks", 1, "trigger") for an [attacks.trigger] below it."""
    parts = [part.strip().strip("\"'") for part in header.group(2).split(".")]
    name = parts[0]
    if header.group(1) == "[[":
        counts[name] = counts.get(name, -1) + 1
    return (name, counts[name], *parts[1:]) if name in counts else tuple(parts)
