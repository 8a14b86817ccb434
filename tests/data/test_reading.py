"""Recognition, the other formats, limits and digests."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from auditor.data import DEFAULT_CAPTION_PROMPT, open_data
from auditor.errors import DataError, UsageError

Write = Callable[..., Path]


def edit(file: Path, change: Callable[[Any], None]) -> None:
    document = json.loads(file.read_text())
    change(document)
    file.write_text(json.dumps(document))


def test_coco_gathers_captions_in_the_order_of_the_pictures(coco: Path) -> None:
    data = open_data(coco)
    assert data.kind == "coco"
    assert [(sample.id, sample.answers) for sample in data.samples] == [("9", ("a cat",)), ("7", ("a dog", "one dog"))]
    assert {sample.prompt for sample in data.samples} == {DEFAULT_CAPTION_PROMPT}
    assert round(float(data.samples[0].picture[0, 1, 1]) * 255) == 9
    assert open_data(coco.parents[1]).samples[1].answers == ("a dog", "one dog")


@pytest.mark.parametrize("place", ["{file}/..", "{file}/../images", "{root}/images", "{root}/images/val2017"])
def test_coco_pictures_are_found_where_people_put_them(coco: Path, place: str) -> None:
    target = Path(place.format(file=coco, root=coco.parents[1]).replace(f"{coco}/..", str(coco.parent)))
    shutil.copytree(coco.parents[1] / "val2017", target, dirs_exist_ok=True)
    shutil.rmtree(coco.parents[1] / "val2017")
    assert len(open_data(coco).samples) == 2


def test_coco_errors_name_the_item(coco: Path) -> None:
    original = coco.read_text()
    cases: list[tuple[Callable[[Any], None], str]] = [
        (lambda d: d["annotations"][2].update(image_id=8), r"annotations\[2\]: `image_id` 8 is unknown"),
        (lambda d: d["annotations"][1].update(caption=" "), r"annotations\[1\]: `caption` is empty"),
        (lambda d: d["annotations"][1].pop("caption"), r"`annotations\[1\].caption` is missing"),
        (lambda d: d["images"][0].update(file_name="none.png"), r"image 9: picture \"none.png\" is missing"),
        (lambda d: d["images"][0].update(file_name="../../x.png"), "leaves the folder"),
        (lambda d: d["images"][0].update(file_name="/etc/hostname"), "leaves the folder"),
        (lambda d: d["images"].append(d["images"][0]), r"id \"9\" is used twice"),
        (lambda d: d.update(images=[], annotations=[]), "holds no samples"),
        (lambda d: d.update(images={}), "`images` has the wrong form"),
    ]
    for change, message in cases:
        coco.write_text(original)
        edit(coco, change)
        with pytest.raises(DataError, match=message) as caught:
            open_data(coco)
        assert caught.value.got and caught.value.expected and caught.value.todo


def test_vqa_joins_questions_answers_and_pictures(vqa: Path) -> None:
    for path in (vqa, vqa.parent):
        data = open_data(path, prompt="unused")
        assert data.kind == "vqa"
        assert [sample.id for sample in data.samples] == ["421", "422", "430"]
        assert data.samples[2].prompt == "Is it red?" and len(data.samples[2].answers) == 10
        assert data.samples[0].picture is data.samples[1].picture
        assert round(float(data.samples[2].picture[0, 1, 1]) * 255) == 43


def test_vqa_takes_the_annotations_of_its_split(vqa: Path) -> None:
    (vqa.parent / "v2_mscoco_train2014_annotations.json").write_text("{}")
    assert len(open_data(vqa).samples) == 3


def test_vqa_annotations_may_be_kept_elsewhere(vqa: Path, tmp_path: Path) -> None:
    annotations = vqa.parent / "v2_mscoco_val2014_annotations.json"
    before = open_data(vqa).digest
    shared = tmp_path.parent / "shared.json"
    annotations.rename(shared)
    annotations.symlink_to(shared)
    assert open_data(vqa).digest == before


def test_vqa_errors_name_the_question(vqa: Path, picture: Write) -> None:
    annotations = vqa.parent / "v2_mscoco_val2014_annotations.json"
    texts = {file: file.read_text() for file in (vqa, annotations)}
    cases: list[tuple[Path, Callable[[Any], None], str]] = [
        (vqa, lambda d: d["questions"][1].update(image_id=99), "question 422: picture 99 is missing"),
        (vqa, lambda d: d["questions"][1].update(question_id=5), "question 5: has no annotation"),
        (vqa, lambda d: d["questions"][1].update(question_id=421), r"id \"421\" is used twice"),
        (vqa, lambda d: d["questions"][1].update(question=""), "question 422: `question` is empty"),
        (annotations, lambda d: d["annotations"].append(d["annotations"][0]), "question 421: is annotated twice"),
        (annotations, lambda d: d["annotations"][0].update(answers=[]), "question 421: `answers` is empty"),
        (annotations, lambda d: d.clear(), "`annotations` is missing"),
    ]
    for file, change, message in cases:
        for each, text in texts.items():
            each.write_text(text)
        edit(file, change)
        with pytest.raises(DataError, match=message):
            open_data(vqa)
    vqa.write_text(texts[vqa])
    annotations.write_text(texts[annotations])
    picture(vqa.parent / "val2014/000043.png")
    with pytest.raises(DataError, match="picture 43 is there several times"):
        open_data(vqa)
    annotations.unlink()
    with pytest.raises(DataError, match="needs one annotations file"):
        open_data(vqa)


def test_a_folder_of_pictures_has_no_answers(tmp_path: Path, picture: Write) -> None:
    for name in ("b.png", "a/z.PNG", ".hidden.png", ".cache/c.png"):
        picture(tmp_path / name)
    (tmp_path / "notes.txt").write_text("not a picture")
    data = open_data(tmp_path, prompt="Look!")
    assert data.kind == "folder"
    assert [(sample.id, sample.prompt, sample.answers) for sample in data.samples] == [
        ("a/z.PNG", "Look!", ()),
        ("b.png", "Look!", ()),
    ]


def test_a_link_out_of_a_folder_is_refused(tmp_path: Path, picture: Write) -> None:
    picture(tmp_path / "data/a.png")
    (tmp_path / "data/b.png").symlink_to(picture(tmp_path / "secret.png"))
    with pytest.raises(DataError, match="leaves the folder"):
        open_data(tmp_path / "data")


def test_a_folder_with_one_jsonl_is_that_jsonl(jsonl: Write, coco: Path) -> None:
    shutil.rmtree(coco.parent)
    file = jsonl({"image": "pictures/0.png", "answers": "a"})
    assert open_data(file.parent).kind == "jsonl"
    shutil.copy(file, file.with_name("second.jsonl"))
    with pytest.raises(DataError, match=r"needs one .jsonl file") as caught:
        open_data(file.parent)
    assert "second.jsonl" in caught.value.got


def test_a_folder_of_two_formats_is_ambiguous(jsonl: Write, coco: Path) -> None:
    file = jsonl({"image": "pictures/0.png", "answers": "a"})
    with pytest.raises(DataError, match="several formats"):
        open_data(file.parent)
    assert open_data(file).kind == "jsonl"


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.json", '{"annotations": []}', ["no known format", "annotations"]),
        ("a.json", "[1, 2]", ["no known format"]),
        ("a.json", "{", ["not valid JSON"]),
        ("a.json", "", ["is empty"]),
        ("a.csv", "image,answer", ["no known format", ".csv"]),
    ],
)
def test_other_files_are_refused(tmp_path: Path, name: str, text: str, words: list[str]) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError) as caught:
        open_data(tmp_path / name)
    assert all(word in str(caught.value) for word in words)


def test_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        open_data(tmp_path / "nowhere")
    with pytest.raises(DataError, match="holds no pictures"):
        open_data(tmp_path)
    with pytest.raises(UsageError, match="limit"):
        open_data(tmp_path, limit=0)
    with pytest.raises(DataError, match="`prompt` is empty"):
        open_data(tmp_path, prompt=" ")


def test_a_limit_needs_no_more_pictures_than_it_reads(coco: Path) -> None:
    (coco.parents[1] / "val2017/000000000007.png").unlink()
    assert [sample.id for sample in open_data(coco, limit=1).samples] == ["9"]
    with pytest.raises(DataError, match="image 7"):
        open_data(coco)


def test_digest_follows_bytes_and_not_places(coco: Path, tmp_path: Path) -> None:
    before = open_data(coco).digest
    shutil.copytree(tmp_path, tmp_path.parent / "copy", ignore=shutil.ignore_patterns("copy"))
    copied = tmp_path.parent / "copy" / coco.relative_to(tmp_path)
    assert open_data(copied).digest == before == open_data(coco).digest
    assert open_data(coco, limit=1).digest != before
    (tmp_path / "val2017/000000000007.png").write_bytes((tmp_path / "val2017/000000000009.png").read_bytes())
    assert open_data(coco).digest != before
    copied.write_text(copied.read_text() + " ")
    assert open_data(copied).digest != before
