"""Progress on stderr: a live line on a terminal, plain lines elsewhere; and in a file for `pcr-audit view`."""

import sys
import time
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from auditor.viewing.progress import ProgressLog


class Reporter:
    """Called with (what is being done, share done in [0, 1]); with a `run`, whoever views it can follow."""

    def __init__(self, run: Path | None = None) -> None:
        self._run = run
        self._log = None if run is None else ProgressLog(run, ("pcr-audit", *sys.argv[1:]))
        self._console = Console(stderr=True)
        self._live: Progress | None = None
        self._said, self._began, self._last = "", time.monotonic(), 0.0

    def __enter__(self) -> "Reporter":
        if self._run is not None:
            print(f"to watch it: pcr-audit view {self._run}", file=sys.stderr, flush=True)
        if sys.stderr.isatty():
            columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
            self._live = Progress(*columns, console=self._console, transient=True)
            self._live.start()
            self._task = self._live.add_task("starting", total=1.0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
        if self._log is not None:
            self._log.close(finished=error is None)

    def __call__(self, what: str, share: float) -> None:
        if self._log is not None:
            self._log(what, share)
        if self._live is not None:
            self._live.update(self._task, description=what, completed=share)
            return
        phase = what.split(" ")[0]
        elapsed = time.monotonic() - self._began
        if phase != self._said or elapsed - self._last > 10:
            self._said, self._last = phase, elapsed
            print(f"[{elapsed:6.1f} s] {what} ({share:.0%})", file=sys.stderr, flush=True)
