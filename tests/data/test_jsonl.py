"""JSONL: what is read, and what every bad line gets."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from auditor.data import DEFAULT_CAPTION_PROMPT, open_data
from auditor.errors import DataError

Write = Callable[..., Path]
GOOD = {"image": "pictures/0.png", "answers": ["a dog", "one dog"], "prompt": "What?", "id": "first"}


def test_reads_what_is_there(jsonl: Write) -> None:
    data = open_data(jsonl(GOOD, {"image": "./pictures/1.png", "answers": "a cat", "licence": {"any": 1}}))
    first, second = data.samples
    assert (data.kind, first.id, first.prompt, first.answers) == ("jsonl", "first", "What?", ("a dog", "one dog"))
    assert (second.id, second.prompt, second.answers) == ("line-2", DEFAULT_CAPTION_PROMPT, ("a cat",))
    assert tuple(first.picture.shape) == (3, 4, 6)
    assert open_data(data.path, prompt="Look!").samples[1].prompt == "Look!"


def test_blank_lines_byte_order_mark_crlf_and_line_separators_are_harmless(jsonl: Write) -> None:
    row = '{"image": "pictures/0.png", "answers": "a\u2028b", "id": 7}\r'.encode()
    (sample,) = open_data(jsonl(b"\xef\xbb\xbf" + row, b"", b"  ")).samples
    assert (sample.id, sample.answers) == ("7", ("a\u2028b",))


def test_an_absolute_path_inside_the_folder_is_fine(jsonl: Write, tmp_path: Path) -> None:
    assert len(open_data(jsonl({**GOOD, "image": str(tmp_path / "pictures/0.png")})).samples) == 1


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (b"{", ["not valid JSON"]),
        (b"[1]", ["not an object", "[1]"]),
        (b'{"image": NaN}', ["not valid JSON", "NaN"]),
        (b"[" * 100_000, ["not valid JSON"]),
        (b'{"image": "\xff"}', ["not UTF-8", "0xff"]),
        ({"answers": ["a"]}, ["`image` is missing", "answers"]),
        ({"image": "pictures/0.png"}, ["`answers` is missing", "add `answers`"]),
        ({"image": "pictures/0.png", "answer": "a"}, ["`answers` is missing", "rename `answer` to `answers`"]),
        ({**GOOD, "image": 5}, ["`image`", "got: 5", "string"]),
        ({**GOOD, "image": ""}, ["`image` is empty"]),
        ({**GOOD, "answers": 5}, ["`answers`", "got: 5", "list"]),
        ({**GOOD, "answers": ["a", None]}, ["`answers[1]`", "None", "string"]),
        ({**GOOD, "answers": []}, ["`answers` is empty", "[]", "at least one"]),
        ({**GOOD, "answers": ["a", " "]}, ["`answers` is empty"]),
        ({**GOOD, "answers": ["\ud800"]}, ["`answers`", "half a character"]),
        ({**GOOD, "prompt": ["What?"]}, ["`prompt`", "string"]),
        ({**GOOD, "prompt": ""}, ["`prompt` is empty"]),
        ({**GOOD, "id": True}, ["`id`", "True"]),
        ({**GOOD, "image": "pictures/nine.png"}, ["pictures/nine.png", "no such file"]),
        ({**GOOD, "image": "pictures"}, ["pictures", "no file"]),
        ({**GOOD, "image": "a\0b.png"}, ["cannot be opened", "null"]),
        ({**GOOD, "image": "x" * 5000}, ["cannot be opened"]),
        ({**GOOD, "image": "../outside.png"}, ["leaves the folder", "copy the picture"]),
        ({**GOOD, "image": "/etc/hostname"}, ["leaves the folder"]),
        ({**GOOD, "image": "https://example.org/a.png"}, ["no such file"]),
    ],
)
def test_a_bad_line_is_named(jsonl: Write, tmp_path: Path, picture: Write, row: Any, words: list[str]) -> None:
    picture(tmp_path.parent / "outside.png")
    with pytest.raises(DataError) as caught:
        open_data(jsonl({**GOOD, "id": "zero"}, row))
    text = str(caught.value)
    assert text.startswith("captions.jsonl:2: ")
    assert all(word in text for word in words), text
    assert caught.value.got and caught.value.expected and caught.value.todo
    assert caught.value.exit_code == 4
    assert len(text) < 5500 and "\0" not in text


def test_symbolic_links_that_lead_out_are_refused(jsonl: Write, tmp_path: Path, picture: Write) -> None:
    outside = picture(tmp_path.parent / "elsewhere" / "secret.png")
    file = jsonl({**GOOD, "image": "link.png"})
    (tmp_path / "link.png").symlink_to(outside)
    with pytest.raises(DataError, match="leaves the folder"):
        open_data(file)
    (tmp_path / "link.png").unlink()
    (tmp_path / "link.png").symlink_to(tmp_path / "pictures/0.png")
    assert len(open_data(file).samples) == 1


def test_a_pipe_is_no_picture(jsonl: Write, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(DataError, match="cannot be opened"):
        open_data(jsonl({**GOOD, "image": "pipe.png"}))


def test_a_doubled_id_names_both_lines(jsonl: Write) -> None:
    with pytest.raises(DataError, match=r"captions.jsonl:3: id \"first\" is used twice") as caught:
        open_data(jsonl(GOOD, {**GOOD, "id": "second"}, GOOD))
    assert "captions.jsonl:1" in caught.value.got


@pytest.mark.parametrize("rows", [(), (b"",), (b" \n\n",)])
def test_an_empty_file_is_refused(jsonl: Write, rows: tuple[bytes, ...]) -> None:
    with pytest.raises(DataError, match="no samples"):
        open_data(jsonl(*rows))


def test_a_broken_picture_names_its_line(jsonl: Write, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"not a picture")
    with pytest.raises(DataError, match=r"captions.jsonl:1: bad.png: is not a picture"):
        open_data(jsonl({**GOOD, "image": "bad.png"}))
