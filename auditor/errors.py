"""Every error a user can meet, drawn as a tree.

AuditError
 ├─ UsageError              4  paths, options, configuration
 │   └─ DataError           4  a data file or a picture
 ├─ CheckpointError         2  unreadable or refused
 │   ├─ IncompleteError     2  missing, truncated, unexpected or re-initialised weights
 │   └─ UnsafeError         2  pickle, remote code, path tricks
 ├─ InconclusiveError       3  opened, but cannot be judged
 └─ InternalError           2  our own mistake
"""


class AuditError(Exception):
    """What happened, where, what was found, what was expected, and what to do; `exit_code` as in the design."""

    exit_code = 2

    def __init__(self, message: str, *, where: str = "", got: str = "", expected: str = "", todo: str = "") -> None:
        self.message, self.where, self.got, self.expected, self.todo = message, where, got, expected, todo
        super().__init__(message)

    def __str__(self) -> str:
        head = f"{self.where}: {self.message}" if self.where else self.message
        lines = [head]
        lines += [f"  {name}: {text}" for name, text in self._details() if text]
        return "\n".join(lines)

    def _details(self) -> tuple[tuple[str, str], ...]:
        return (("got", self.got), ("expected", self.expected), ("what to do", self.todo))


class UsageError(AuditError):
    """Paths, options or configuration."""

    exit_code = 4


class DataError(UsageError):
    """A data file or a picture."""


class CheckpointError(AuditError):
    """The checkpoint is unreadable or refused."""


class IncompleteError(CheckpointError):
    """Missing, truncated, unexpected or re-initialised weights."""


class UnsafeError(CheckpointError):
    """Pickle, remote code, or a path that leaves the folder."""


class InconclusiveError(AuditError):
    """Opened, but it cannot be judged."""

    exit_code = 3


class InternalError(AuditError):
    """Our own mistake: please report it."""
