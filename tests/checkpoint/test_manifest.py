import hashlib
import os
from pathlib import Path

import pytest

from auditor.checkpoint.manifest import FileEntry, Manifest, build_manifest, list_files
from auditor.errors import CheckpointError, UnsafeError, UsageError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "folder"
    (folder / "sub").mkdir(parents=True)
    (folder / "b.json").write_bytes(b"{}")
    (folder / "a.txt").write_bytes(b"")
    (folder / "sub" / "c.bin").write_bytes(b"three")
    return folder


def test_every_file_is_hashed_in_order(folder: Path) -> None:
    entries = build_manifest(folder).files
    assert [(entry.path, entry.bytes) for entry in entries] == [("a.txt", 0), ("b.json", 2), ("sub/c.bin", 5)]
    assert entries[2].sha256 == hashlib.sha256(b"three").hexdigest()


def test_the_digest_is_sha256_over_the_canonical_lines() -> None:
    manifest = Manifest((FileEntry("a", "00", 1), FileEntry("b/ç", "ff", 2)))
    assert manifest.digest == hashlib.sha256("00 1 a\nff 2 b/ç\n".encode()).hexdigest()


def test_the_digest_changes_with_one_bit_a_name_or_a_new_file(folder: Path) -> None:
    digests = {build_manifest(folder).digest}
    (folder / "b.json").write_bytes(b"{|")
    digests.add(build_manifest(folder).digest)
    (folder / "b.json").rename(folder / "d.json")
    digests.add(build_manifest(folder).digest)
    (folder / "empty").touch()
    digests.add(build_manifest(folder).digest)
    assert len(digests) == 4


def test_the_digest_does_not_depend_on_where_or_when(folder: Path, tmp_path: Path) -> None:
    digest = build_manifest(folder).digest
    os.utime(folder / "a.txt", (0, 0))
    assert build_manifest(folder.rename(tmp_path / "elsewhere")).digest == digest


def test_differences_name_what_was_added_removed_or_changed(folder: Path) -> None:
    before = build_manifest(folder)
    assert before.differences(before) == ()
    (folder / "a.txt").unlink()
    (folder / "b.json").write_bytes(b"[]")
    (folder / "new").touch()
    assert before.differences(build_manifest(folder)) == ("a.txt", "b.json", "new")


def test_bookkeeping_is_left_out_at_the_top_only(folder: Path) -> None:
    for place in (".git", ".cache", "sub/.git"):
        (folder / place).mkdir()
        (folder / place / "entry").touch()
    assert list_files(folder) == ("a.txt", "b.json", "sub/.git/entry", "sub/c.bin")


def test_a_link_inside_the_folder_counts_as_a_file(folder: Path) -> None:
    (folder / "link").symlink_to("sub/c.bin")
    entries = {entry.path: entry for entry in build_manifest(folder).files}
    assert entries["link"].sha256 == entries["sub/c.bin"].sha256


@pytest.mark.parametrize("target", ["../secret", "/etc/hostname", "nowhere", "link"])
def test_a_link_that_leaves_or_leads_nowhere_is_refused(folder: Path, target: str) -> None:
    (folder.parent / "secret").touch()
    (folder / "link").symlink_to(target)
    with pytest.raises(UnsafeError, match="leads out of the folder, or nowhere") as error:
        build_manifest(folder)
    assert (error.value.where, error.value.got) == ("link", target)


def test_a_linked_folder_is_refused(folder: Path) -> None:
    (folder / "again").symlink_to("sub", target_is_directory=True)
    with pytest.raises(UnsafeError, match="link to a folder"):
        list_files(folder)


def test_a_pipe_is_refused_and_not_waited_for(folder: Path) -> None:
    os.mkfifo(folder / "sub" / "pipe")
    with pytest.raises(UnsafeError, match="pipe") as error:
        build_manifest(folder)
    assert error.value.where == "sub/pipe"


@pytest.mark.parametrize("name", [b"two\nlines", b"not utf-8 \xff", b"\x1b[2J"])
def test_a_name_that_would_forge_a_line_is_refused(folder: Path, name: bytes) -> None:
    Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).touch()
    with pytest.raises(UnsafeError, match="cannot be printed") as error:
        list_files(folder)
    assert str(error.value).isascii()


def test_what_is_no_folder_is_a_usage_error(folder: Path) -> None:
    with pytest.raises(UsageError, match="no such folder") as error:
        build_manifest(folder / "missing")
    assert (error.value.exit_code, error.value.got) == (4, "nothing")
    with pytest.raises(UsageError, match="a file"):
        build_manifest(folder / "a.txt")


def test_a_file_that_cannot_be_read_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, mode: str) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(CheckpointError, match="Permission denied") as error:
        build_manifest(folder)
    assert error.value.where.endswith("a.txt")
