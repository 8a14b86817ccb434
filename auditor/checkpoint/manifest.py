"""Says which bytes a folder holds: every file with its size and SHA-256, and one digest over them all."""

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from auditor.errors import CheckpointError, UnsafeError, UsageError

# Version control and download bookkeeping at the top of the folder: never loaded, and different on every machine.
_BOOKKEEPING = frozenset({".git", ".cache"})


@dataclass(frozen=True, order=True)
class FileEntry:
    """One file: its path below the folder with `/` between the parts, its SHA-256 in hex, its size in bytes."""

    path: str
    sha256: str
    bytes: int

    @property
    def line(self) -> str:
        """The canonical line that the manifest's digest is made of; a path holds no line break."""
        return f"{self.sha256} {self.bytes} {self.path}\n"


@dataclass(frozen=True)
class Manifest:
    """Every file of a folder, sorted by path."""

    files: tuple[FileEntry, ...]

    @property
    def digest(self) -> str:
        """SHA-256 in hex over the canonical lines, in UTF-8: equal for two folders just if all their files are."""
        return hashlib.sha256("".join(entry.line for entry in self.files).encode()).hexdigest()

    def differences(self, other: "Manifest") -> tuple[str, ...]:
        """The paths, sorted, that only one of the two holds or that hold other bytes."""
        return tuple(sorted({entry.path for entry in set(self.files) ^ set(other.files)}))


def build_manifest(folder: Path) -> Manifest:
    """Hashes every file of the folder, sub-folders included, without running or parsing any.

    Raises UsageError when there is no such folder, UnsafeError for links that leave it and for anything that is no
    ordinary file, CheckpointError for a file that cannot be read.
    """
    return Manifest(tuple(_read_entry(folder, path) for path in list_files(folder)))


def list_files(folder: Path) -> tuple[str, ...]:
    """The sorted paths of all ordinary files below the folder, of which none leads out of it.

    Links to files inside the folder count as files; top-level `.git` and `.cache` are left out. Raises as
    `build_manifest` does.
    """
    if not os.path.isdir(folder):  # unlike Path.is_dir, never raises
        raise UsageError(
            "there is no such folder",
            where=str(folder),
            got="a file" if os.path.isfile(folder) else "nothing",
            expected="a folder with config.json and *.safetensors",
            todo="download the checkpoint first; names on a model hub are not followed, and the network is never used",
        )
    found: list[str] = []
    for parent, folders, names in os.walk(folder, onerror=_refuse_unreadable):
        if Path(parent) == folder:
            folders[:] = [name for name in folders if name not in _BOOKKEEPING]
            names = [name for name in names if name not in _BOOKKEEPING]
        for name in folders:
            _refuse_linked_folder(folder, Path(parent, name))
        found += [_plain_name(folder, Path(parent, name)) for name in names]
    return tuple(sorted(found))


def _read_entry(folder: Path, path: str) -> FileEntry:
    try:
        with (folder / path).open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            return FileEntry(path, sha256, file.tell())
    except OSError as error:
        _refuse_unreadable(error)


def _plain_name(folder: Path, file: Path) -> str:
    """The file's path below the folder, once it is known to be an ordinary file inside it with a writable name."""
    path = file.relative_to(folder).as_posix()
    if not path.isprintable():  # line breaks would forge manifest lines; lone surrogates cannot be written at all
        raise UnsafeError("a file name holds characters that cannot be printed", where=str(folder), got=repr(path))
    if file.is_symlink() and not _stays_inside(folder, file):
        raise UnsafeError(
            "a link leads out of the folder, or nowhere",
            where=path,
            got=os.readlink(file),
            expected="files of the folder itself",
            todo="make a copy with the links resolved, such as `cp -rL`, and give that",
        )
    try:
        kind = file.stat().st_mode
    except OSError as error:
        _refuse_unreadable(error)
    if not stat.S_ISREG(kind):
        raise UnsafeError("is a pipe, a socket or a device", where=path, expected="an ordinary file")
    return path


def _stays_inside(folder: Path, file: Path) -> bool:
    try:
        return file.resolve(strict=True).is_relative_to(folder.resolve())
    except (OSError, RuntimeError):  # a link to nothing; a ring of links
        return False


def _refuse_linked_folder(folder: Path, child: Path) -> None:
    if child.is_symlink():
        raise UnsafeError(
            "is a link to a folder",
            where=child.relative_to(folder).as_posix(),
            got=os.readlink(child),
            expected="files and folders of the checkpoint itself",
            todo="make a copy with the links resolved, such as `cp -rL`, and give that",
        )


def _refuse_unreadable(error: OSError) -> NoReturn:
    raise CheckpointError(
        "cannot be read",
        where=str(error.filename or ""),
        got=error.strerror or str(error),
        todo="check its permissions",
    ) from error
