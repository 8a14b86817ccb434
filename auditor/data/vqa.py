"""VQAv2: a questions file, an annotations file with people's answers, and pictures named by number."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from auditor.data.places import data_files, dataset_root, inside, only_one, picture_folders
from auditor.data.records import PICTURE_SUFFIXES, Draft, Entry, Format, Row, Source, check, check_text, shown
from auditor.errors import DataError

_SPLIT = re.compile(r"(?:train|val|test)\d{4}")
_NUMBERED = re.compile(r"(?:COCO_\w+_)?(\d+)")


class Question(Row):
    """One question about a picture."""

    question_id: int
    image_id: int
    question: str


class Questions(Row):
    """The questions file."""

    questions: list[Question]
    data_subtype: str = ""


class Answer(Row):
    """What one person answered."""

    answer: str


class Annotation(Row):
    """What people answered to a question."""

    question_id: int
    answers: list[Answer]


class Annotations(Row):
    """The annotations file."""

    annotations: list[Annotation]


@dataclass(frozen=True)
class _Beside:
    """What lies beside the questions: answers by question, picture files by number, all under `root`."""

    root: Path
    answers: dict[int, tuple[str, ...]]
    pictures: dict[int, list[Path]]


def recognise(source: Source) -> bool:
    """A JSON file with `questions`, or a folder that holds one with `questions` in its name."""
    return source.has_keys("questions") or bool(data_files(source.path, "questions"))


def read(source: Source, prompt: str) -> Draft:
    """One sample a question with every person's answer, in the order of `questions`; its own question is the prompt.

    Raises DataError for questions without answers, doubled annotations and missing pictures.
    """
    if source.path.is_dir():
        source = Source(only_one(data_files(source.path, "questions"), source.path, "questions"))
    questions = check(Questions, source.document, source.path.name)
    annotations = Source(_annotations_file(source.path))
    folders = picture_folders(source.path, questions.data_subtype, _split(source.path))
    beside = _Beside(dataset_root(source.path), _answers(annotations), _pictures(folders))
    return Draft(beside.root, (source, annotations), _entries(questions, beside, source.path.name))


def _entries(questions: Questions, beside: _Beside, file: str) -> Iterator[Entry]:
    for item in questions.questions:
        where = f"{file}: question {item.question_id}"
        if item.question_id not in beside.answers:
            raise DataError(
                "has no annotation",
                where=where,
                got="no such `question_id`",
                expected="people's answers",
                todo="put the annotations file of the same split beside the questions file",
            )
        question = check_text(item.question, "question", where)
        picture = _picture(item.image_id, beside, where)
        yield Entry(str(item.question_id), picture, question, beside.answers[item.question_id], where)


def _picture(number: int, beside: _Beside, where: str) -> Path:
    found = beside.pictures.get(number, [])
    if len(found) != 1:
        raise DataError(
            f"picture {number} is {'there several times' if found else 'missing'}",
            where=where,
            got=", ".join(path.name for path in found) or "no such file",
            expected=f"one COCO_<split>_{number:012d}.jpg or {number}.jpg under {beside.root}",
            todo="put the pictures beside the questions file, in `images/`, or in a folder with the split's name",
        )
    return inside(beside.root, found[0], where)


def _answers(source: Source) -> dict[int, tuple[str, ...]]:
    """People's answers by question."""
    known: dict[int, tuple[str, ...]] = {}
    for item in check(Annotations, source.document, source.path.name).annotations:
        where = f"{source.path.name}: question {item.question_id}"
        if item.question_id in known or not item.answers:
            raise DataError(
                "is annotated twice" if item.answers else "`answers` is empty",
                where=where,
                got=shown([answer.answer for answer in item.answers]),
                expected="one annotation with answers",
                todo="correct the annotations file, or take the published one",
            )
        known[item.question_id] = tuple(check_text(answer.answer, "answer", where) for answer in item.answers)
    return known


def _pictures(folders: list[Path]) -> dict[int, list[Path]]:
    """Picture files by their number, from the first folder that has the number."""
    found: dict[int, list[Path]] = {}
    for folder in folders:
        here: dict[int, list[Path]] = {}
        for path in sorted(folder.iterdir()):
            number = _NUMBERED.fullmatch(path.stem)
            if number and path.suffix.lower() in PICTURE_SUFFIXES:
                here.setdefault(int(number[1]), []).append(path)
        found = here | found
    return found


def _annotations_file(questions: Path) -> Path:
    """The annotations of the same split beside a questions file, or beside its folder."""
    files = [path for path in data_files(dataset_root(questions), "annotations") if path != questions.resolve()]
    same_split = [path for path in files if _split(path) == _split(questions)]
    return only_one(same_split or files, dataset_root(questions), "annotations")


def _split(path: Path) -> str:
    """The split that a file name speaks of, such as val2014."""
    found = _SPLIT.search(path.name)
    return found[0] if found else ""


FORMAT = Format("vqa", recognise, read)
