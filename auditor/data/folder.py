"""A plain folder of pictures: no answers, and the same prompt for all."""

from auditor.data.places import inside, pictures_below
from auditor.data.records import PICTURE_SUFFIXES, Draft, Entry, Format, Source
from auditor.errors import DataError


def recognise(source: Source) -> bool:
    """Any folder that no other format recognised."""
    return source.path.is_dir()


def read(source: Source, prompt: str) -> Draft:
    """One sample a picture file, sub-folders included, by relative path; raises DataError where there is none."""
    root = source.path.resolve()
    names = [path.relative_to(root).as_posix() for path in pictures_below(root)]
    if not names:
        raise DataError(
            "holds no pictures",
            where=str(source.path),
            got="no file with a picture's suffix",
            expected="one of " + ", ".join(sorted(PICTURE_SUFFIXES)),
            todo="give a folder of pictures, or a data file",
        )
    entries = (Entry(name, inside(root, name, str(source.path)), prompt, (), name) for name in names)
    return Draft(root, (), entries)


FORMAT = Format("folder", recognise, read)
