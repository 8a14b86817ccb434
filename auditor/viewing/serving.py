"""Opening the viewer on a run: which run, and which port."""

from pathlib import Path

from auditor.errors import UsageError
from auditor.viewing.progress import going_on, progress_path
from auditor.viewing.server import HOST, RECORD, Viewer


def open_viewer(run: Path | None, port: int = 0) -> Viewer:
    """A viewer that listens, not yet serving. Raises UsageError for what is no run and for a port that is taken."""
    chosen = run or _latest()
    if not (chosen / RECORD).is_file() and not progress_path(chosen).is_file():
        raise UsageError(
            "is no run", where=str(chosen), got=f"no {RECORD} there, and no run going on beside it",
            expected="the folder of a run, or the --out of one that is going on", todo="give such a folder",
        )  # fmt: skip
    try:
        return Viewer(chosen, port)
    except OSError as error:
        raise UsageError(
            "this port cannot be had", where="--port", got=f"{HOST}:{port}: {error.strerror}", expected="a free port",
            todo="leave --port out, and any free one is taken",
        ) from error  # fmt: skip


def _latest() -> Path:
    """The run that is going on below the default root, or else the one whose record is newest."""
    from auditor.runs import DEFAULT_ROOT, latest_run  # reads tensors, which a named run does not need

    return next(iter(going_on(DEFAULT_ROOT)), None) or latest_run()
