"""COCO captions: one JSON file with `images` and `annotations`, and the pictures near it."""

from collections.abc import Iterator
from pathlib import Path

from auditor.data.places import data_files, dataset_root, first_inside, only_one, picture_folders
from auditor.data.records import Draft, Entry, Format, Name, Row, Source, check, check_text
from auditor.errors import DataError


class Image(Row):
    """One picture of the file."""

    id: Name
    file_name: str


class Caption(Row):
    """One caption of a picture."""

    image_id: Name
    caption: str


class Captions(Row):
    """The file."""

    images: list[Image]
    annotations: list[Caption]


def recognise(source: Source) -> bool:
    """A JSON file with `images` and `annotations`, or a folder that holds one with `captions` in its name."""
    return source.has_keys("images", "annotations") or bool(data_files(source.path, "captions"))


def read(source: Source, prompt: str) -> Draft:
    """One sample a picture with all its captions, in the order of `images`; a picture without captions has no answers.

    Raises DataError for unknown image ids, empty captions and missing pictures.
    """
    if source.path.is_dir():
        source = Source(only_one(data_files(source.path, "captions"), source.path, "captions"))
    captions = check(Captions, source.document, source.path.name)
    answers = _answers(captions, source.path.name)
    return Draft(dataset_root(source.path), (source,), _entries(captions, answers, source.path, prompt))


def _entries(captions: Captions, answers: dict[str, list[str]], file: Path, prompt: str) -> Iterator[Entry]:
    root, folders = dataset_root(file), picture_folders(file, file.stem.rsplit("_", 1)[-1])
    for image in captions.images:
        where = f"{file.name}: image {image.id}"
        picture = first_inside(root, folders, check_text(image.file_name, "file_name", where), where)
        yield Entry(image.id, picture, prompt, tuple(answers[image.id]), where)


def _answers(captions: Captions, where: str) -> dict[str, list[str]]:
    """The captions of every picture, by its id."""
    answers: dict[str, list[str]] = {image.id: [] for image in captions.images}
    for index, item in enumerate(captions.annotations):
        place = f"{where}: annotations[{index}]"
        if item.image_id not in answers:
            raise DataError(
                f"`image_id` {item.image_id} is unknown",
                where=place,
                got="no such id in `images`",
                expected="the id of a picture",
                todo="add the picture to `images`, or remove the caption",
            )
        answers[item.image_id].append(check_text(item.caption, "caption", place))
    return answers


FORMAT = Format("coco", recognise, read)
