"""The server: this machine alone, a fixed list of pages, and nothing that the run did not mean to show."""

import http.client
import json
from pathlib import Path

import pytest

from auditor.errors import UsageError
from auditor.viewing.progress import ProgressLog
from auditor.viewing.server import PAGES, Viewer
from auditor.viewing.serving import open_viewer
from tests.viewing.local import EVIL, serving


def ask(
    viewer: Viewer, path: str, method: str = "GET", headers: dict[str, str] | None = None
) -> tuple[int, http.client.HTTPMessage, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", viewer.server_port, timeout=60)
    try:
        connection.request(method, path, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def test_it_listens_on_this_machine_alone(viewer: Viewer) -> None:
    assert viewer.server_address[0] == "127.0.0.1" and viewer.server_port > 0
    assert viewer.address == f"http://127.0.0.1:{viewer.server_port}/"


def test_the_first_page_is_the_report(viewer: Viewer) -> None:
    status, headers, _ = ask(viewer, "/")
    assert (status, headers["Location"]) == (302, "/report")
    assert b"report.html" in ask(viewer, "/report")[2]


def test_the_report_is_drawn_from_the_record_and_may_run_nothing(viewer: Viewer) -> None:
    status, headers, body = ask(viewer, "/report.html")
    assert status == 200 and b"Backdoor audit of a multimodal language model" in body
    assert "script-src" not in headers["Content-Security-Policy"] and "sandbox" in headers["Content-Security-Policy"]
    assert "default-src 'none'" in headers["Content-Security-Policy"]


def test_a_report_that_was_written_is_shown_as_it_lies(finished: Path, tmp_path: Path) -> None:
    (tmp_path / "record.json").write_bytes((finished / "record.json").read_bytes())
    (tmp_path / "report.html").write_bytes(b"<p>as it was signed</p>")
    with serving(tmp_path) as viewer:
        assert ask(viewer, "/report.html")[2] == b"<p>as it was signed</p>"


def test_items_come_as_data_and_not_as_markup(viewer: Viewer) -> None:
    status, headers, body = ask(viewer, "/items.json")
    assert status == 200 and headers["Content-Type"] == "application/json"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert EVIL in json.loads(body)["tables"][1]["rows"][0]
    assert EVIL.encode() not in ask(viewer, "/items")[2]


def test_every_page_forbids_what_it_does_not_need(viewer: Viewer) -> None:
    for path in PAGES:
        status, headers, body = ask(viewer, path)
        assert status in (200, 302, 404), path
        assert "default-src 'none'" in headers["Content-Security-Policy"] and headers["Cache-Control"] == "no-store"
        assert b"http://" not in body.replace(b"http://www.w3.org", b"") or path == "/report.html"


def test_scripts_run_by_a_nonce_that_changes(viewer: Viewer) -> None:
    first, second = (ask(viewer, "/items")[1]["Content-Security-Policy"] for _ in range(2))
    assert "'nonce-" in first and first != second


@pytest.mark.parametrize(
    "path",
    [
        "/record.json", "/../run/record.json", "/%2e%2e/record.json", "/report.html/../record.json", "//etc/passwd",
        "/items.jsonl", "/report.html%00", "/./report", "/triggers/finding-0.safetensors", "/REPORT",
    ],
)  # fmt: skip
def test_nothing_but_the_pages_is_there(viewer: Viewer, path: str) -> None:
    assert ask(viewer, path)[0] == 404


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "evil.example:80", ""])
def test_a_foreign_name_for_this_machine_is_refused(viewer: Viewer, host: str) -> None:
    status, _, body = ask(viewer, "/items.json", headers={"Host": host})
    assert status == 403 and b"squares" not in body


def test_its_own_names_are_answered(viewer: Viewer) -> None:
    for name in ("127.0.0.1", "localhost"):
        assert ask(viewer, "/items.json", headers={"Host": f"{name}:{viewer.server_port}"})[0] == 200


def test_only_reading_is_possible(viewer: Viewer) -> None:
    assert ask(viewer, "/report", "HEAD")[2] == b""
    for method in ("POST", "PUT", "DELETE"):
        assert ask(viewer, "/report", method)[0] == 501


def test_a_damaged_record_is_said_and_does_not_end_the_viewer(tmp_path: Path) -> None:
    (tmp_path / "record.json").write_text("{")
    with serving(tmp_path) as viewer:
        status, _, body = ask(viewer, "/report.html")
        assert status == 500 and b"is not JSON" in body
        assert ask(viewer, "/progress.json")[0] == 200


def test_a_run_that_goes_on_is_shown_before_there_is_a_record(tmp_path: Path) -> None:
    log = ProgressLog(tmp_path / "run", ["pcr-audit", "scan", "model/"])
    log("search additive", 0.4)
    with open_viewer(tmp_path / "run") as opened:
        assert opened.server_port > 0
    with serving(tmp_path / "run") as viewer:
        assert ask(viewer, "/")[1]["Location"] == "/progress"
        data = json.loads(ask(viewer, "/progress.json")[2])
        assert data["state"] == "running" and data["phases"][0]["share"] == 0.4
        assert b"There is no record yet" in ask(viewer, "/report")[2]
    log.close(finished=False)


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no run") as caught:
        open_viewer(tmp_path)
    assert caught.value.exit_code == 4


def test_a_port_that_is_taken_is_a_usage_error(viewer: Viewer, finished: Path) -> None:
    with pytest.raises(UsageError, match="port cannot be had") as caught:
        open_viewer(finished, viewer.server_port)
    assert "leave --port out" in caught.value.todo
