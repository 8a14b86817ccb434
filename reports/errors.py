"""What can go wrong on paper."""


class RecordError(ValueError):
    """A record, or a picture it names, cannot be used: what, where, what was found and expected, and what to do."""

    def __init__(self, message: str, *, where: str = "", got: str = "", expected: str = "", todo: str = "") -> None:
        self.message, self.where, self.got, self.expected, self.todo = message, where, got, expected, todo
        super().__init__(message)

    def __str__(self) -> str:
        head = f"{self.where}: {self.message}" if self.where else self.message
        details = (("got", self.got), ("expected", self.expected), ("what to do", self.todo))
        return "\n".join([head, *(f"  {name}: {text}" for name, text in details if text)])


class PdfUnavailableError(OSError):
    """The PDF writer cannot be loaded on this machine; the message says how to get it."""
