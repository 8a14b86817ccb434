"""Where pictures may lie: inside the folder of their data, and nowhere else."""

from pathlib import Path

from auditor.data.records import PICTURE_SUFFIXES, shown
from auditor.errors import DataError

JSON = frozenset({".json"})


def inside(root: Path, name: str | Path, where: str) -> Path:
    """The real path of the file `name` under the resolved `root`.

    Raises DataError if it is missing, is no regular file, or leaves the folder by `..`, by an absolute path or by a
    symbolic link.
    """
    try:
        path = (root / name).resolve()
        if not path.is_relative_to(root):
            raise _outside(root, name, where)
        found = path.is_file()
    except (OSError, ValueError, RuntimeError) as error:
        raise _missing(root, name, where, str(error)) from error
    if not found:
        raise _missing(root, name, where, "something that is no file" if path.exists() else "no such file")
    return path


def first_inside(root: Path, folders: list[Path], name: str, where: str) -> Path:
    """The first of `folders` that holds the file `name`, under the same rules as `inside`."""
    _inside_somewhere(root, folders, name, where)
    for folder in folders:
        try:
            held = (folder / name).is_file()
        except (OSError, ValueError):
            held = False
        if held:
            return inside(root, folder / name, where)
    places = ", ".join(sorted({str(folder) for folder in folders}))
    raise DataError(
        f"picture {shown(name)} is missing",
        where=where,
        got="no such file",
        expected=f"it in one of {places}",
        todo="put the pictures beside the data file, in `images/`, or in a folder with the split's name",
    )


def dataset_root(file: Path) -> Path:
    """The folder that holds annotations and pictures alike: one above a folder named `annotations` or `questions`."""
    folder = file.resolve().parent
    return folder.parent if folder.name.lower() in {"annotations", "questions"} else folder


def picture_folders(file: Path, *splits: str) -> list[Path]:
    """Where the pictures of an annotation file may lie, most likely first; `splits` are names such as val2017."""
    folder, root = file.resolve().parent, dataset_root(file)
    names = ["images", *(split for split in splits if split), *(f"images/{split}" for split in splits if split)]
    bases = [folder] if folder == root else [folder, root]
    candidates = [*bases, *(base / name for base in bases for name in names)]
    return [candidate for candidate in candidates if candidate.is_dir()]


def pictures_below(root: Path) -> list[Path]:
    """Every picture file under `root`, by suffix, in the order of relative paths, without hidden files and folders."""
    found = [path for path in root.rglob("*") if path.suffix.lower() in PICTURE_SUFFIXES and not path.is_dir()]
    visible = [path for path in found if not any(part.startswith(".") for part in path.relative_to(root).parts)]
    return sorted(visible, key=lambda path: path.relative_to(root).as_posix())


def data_files(folder: Path, word: str, suffixes: frozenset[str] = JSON) -> list[Path]:
    """Data files with `word` in their names, in a folder or in its `annotations` and `questions`; none for a file."""
    folders = (folder, folder / "annotations", folder / "questions")
    found = [path for place in folders if place.is_dir() for path in place.iterdir() if path.suffix.lower() in suffixes]
    return sorted(path for path in found if word in path.name.lower() and path.is_file())


def only_one(files: list[Path], folder: Path, word: str) -> Path:
    """The single file of a list; raises DataError that names the others, or says that there is none."""
    if len(files) != 1:
        raise DataError(
            f"needs one {word} file",
            where=str(folder),
            got=", ".join(path.name for path in files) or "none",
            expected=f"one file with `{word}` in its name",
            todo="give the path of the file that is meant" if files else f"put the {word} file there",
        )
    return files[0]


def _inside_somewhere(root: Path, folders: list[Path], name: str, where: str) -> None:
    """Refuses a name that leaves the data set from every folder, before anything is looked up."""
    try:
        kept = not folders or any((folder / name).resolve().is_relative_to(root) for folder in folders)
    except (OSError, ValueError, RuntimeError) as error:
        raise _missing(root, name, where, str(error)) from error
    if not kept:
        raise _outside(root, name, where)


def _outside(root: Path, name: str | Path, where: str) -> DataError:
    return DataError(
        f"picture {shown(str(name))} leaves the folder of its data",
        where=where,
        got="a path, or a symbolic link, that leads out",
        expected=f"a file under {root}",
        todo="copy the picture into that folder and name it by its relative path",
    )


def _missing(root: Path, name: str | Path, where: str, got: str) -> DataError:
    return DataError(
        f"picture {shown(str(name))} cannot be opened",
        where=where,
        got=got,
        expected=f"a picture file under {root}",
        todo="check the spelling; paths are relative to the data file's folder",
    )
