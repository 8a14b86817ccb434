"""A run's progress as a file beside its folder: one line a step, written while it goes and read by whoever watches.

The file is `.NAME.progress.jsonl` beside the run folder NAME. It is there exactly while a command works on the run: a
run that ends well takes it in as `progress.jsonl`, one that fails or is interrupted leaves none.
"""

import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

KEPT, SUFFIX = "progress.jsonl", ".progress.jsonl"
EVERY = 0.5
"""Seconds between two lines of one phase."""

State = Literal["running", "stopped", "finished", "unknown"]


def progress_path(run: Path) -> Path:
    """The file that a running command writes."""
    whole = run.absolute()
    return whole.parent / f".{whole.name}{SUFFIX}"


def going_on(root: Path) -> list[Path]:
    """The runs below that folder that a command works on, the latest first."""
    files = sorted(root.glob(f".*{SUFFIX}"), key=lambda path: path.stat().st_mtime, reverse=True)
    runs = [path.with_name(path.name.removeprefix(".").removesuffix(SUFFIX)) for path in files]
    return [run for run in runs if read_progress(run).state == "running"]


def split_values(what: str) -> tuple[str, dict[str, float]]:
    """What is being done, and the named numbers at its end: "repair total 0.5 anchor 0.1" has two."""
    words, values = what.split(), {}
    while len(words) > 2 and (number := _number(words[-1])) is not None:
        values[words[-2]] = number
        words = words[:-2]
    return " ".join(words), dict(reversed(values.items()))


def _number(word: str) -> float | None:
    try:
        return float(word)
    except ValueError:
        return None


class ProgressLog:
    """Called with (what is being done, share done in [0, 1]); nothing is written before the folder around the run
    exists, so that a refused command leaves nothing. A disk that is full stops the log, never the run."""

    def __init__(self, run: Path, command: Sequence[str] = ()) -> None:
        self._run, self._path, self._command = run, progress_path(run), list(command)
        self._began, self._last, self._phase = time.monotonic(), float("-inf"), ""
        self._started, self._broken = False, False

    def __call__(self, what: str, share: float) -> None:
        phase, values = split_values(what)
        seconds = time.monotonic() - self._began
        if self._broken or not self._path.parent.is_dir():
            return
        if phase == self._phase and seconds - self._last < EVERY and share < 1.0:
            return
        lines = [{"phase": phase, "share": round(share, 4), "seconds": round(seconds, 2), "values": values}]
        self._write(lines if self._started else [self._head(), *lines])
        self._started, self._phase, self._last = True, phase, seconds

    def close(self, finished: bool) -> None:
        """The run takes the file in when it ended well; otherwise it goes."""
        if not self._started:
            return
        if finished and self._run.is_dir():
            with (self._run / KEPT).open("ab") as kept:
                kept.write(self._path.read_bytes())
        self._path.unlink(missing_ok=True)

    def _head(self) -> dict[str, Any]:
        return {"command": self._command, "pid": os.getpid(), "time": time.time()}

    def _write(self, lines: Sequence[Mapping[str, Any]]) -> None:
        try:
            with self._path.open("w" if not self._started else "a", encoding="utf-8") as file:
                file.writelines(json.dumps(line, sort_keys=True) + "\n" for line in lines)
        except OSError:
            self._broken = True


@dataclass
class Phase:
    """One thing that was done: how far it got, when it began and was last heard of, and its named numbers by step."""

    name: str
    began: float
    share: float = 0.0
    seconds: float = 0.0
    values: list[dict[str, float]] = field(default_factory=list)


@dataclass(frozen=True)
class Watched:
    """A run's progress as it stands: `running` while its process lives, `stopped` when it died without a word."""

    state: State
    command: tuple[str, ...] = ()
    phases: tuple[Phase, ...] = ()
    idle: float | None = None


def read_progress(run: Path) -> Watched:
    """What the file beside the run says, or the one that the finished run keeps."""
    path = progress_path(run)
    try:
        lines, idle = _lines(path), time.time() - path.stat().st_mtime
    except OSError:
        kept = run / KEPT
        return _watched("finished", _lines(kept), None) if kept.is_file() else Watched("unknown")
    head = next((line for line in lines if "pid" in line), {})
    return _watched("running" if _alive(head.get("pid")) else "stopped", lines, idle)


def _watched(state: State, lines: Sequence[Mapping[str, Any]], idle: float | None) -> Watched:
    phases: list[Phase] = []
    command: tuple[str, ...] = ()
    for line in lines:
        if "pid" in line:
            command = tuple(map(str, line.get("command", ())))
        elif {"phase", "share", "seconds"} <= line.keys():
            _add(phases, line)
    return Watched(state, command, tuple(phases), idle)


def _add(phases: list[Phase], line: Mapping[str, Any]) -> None:
    name, seconds = str(line["phase"]), float(line["seconds"])
    if not phases or phases[-1].name != name:
        if phases:  # what came before is over
            phases[-1].seconds, phases[-1].share = max(seconds, phases[-1].began), 1.0
        phases.append(Phase(name, seconds))
    now = phases[-1]
    now.share, now.seconds = float(line["share"]), seconds
    if line.get("values"):
        now.values.append(line["values"])


def _lines(path: Path) -> list[dict[str, Any]]:
    """The lines that are whole: the last one may be torn while it is written."""
    found = []
    for line in path.read_text("utf-8", errors="replace").splitlines():
        try:
            data = json.loads(line)
        except json.JSONDecodeError:
            continue
        if isinstance(data, dict):
            found.append(data)
    return found


def _alive(pid: object) -> bool:
    if not isinstance(pid, int) or pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # somebody else's process
    return True
