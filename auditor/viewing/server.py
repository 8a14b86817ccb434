"""The viewer's server: bound to this machine, a fixed list of pages, nothing of the file system by name."""

import json
import secrets
from collections.abc import Callable
from dataclasses import asdict
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from auditor.viewing.items import as_json
from auditor.viewing.progress import read_progress
from reports.errors import RecordError
from reports.record import load_record
from reports.render import render_html

HOST = "127.0.0.1"
RECORD, REPORT, DOCUMENT = "record.json", "report.html", "report.pdf"
THINNED = 120
"""Most numbers of one phase that the progress page draws."""
Answer = tuple[HTTPStatus, str, bytes, str]

# What a page may do; the report may do less, since it shows what a model said.
PAGE_POLICY = (
    "default-src 'none'; script-src 'nonce-{0}'; style-src 'nonce-{0}'; connect-src 'self'; frame-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
REPORT_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; frame-ancestors 'self'; sandbox"
DATA_POLICY = "default-src 'none'"


class Viewer(ThreadingHTTPServer):
    """Serves one run on a port of this machine (0: any free one) until `shutdown()`."""

    daemon_threads = True

    def __init__(self, run: Path, port: int = 0) -> None:
        self.run = run.absolute()
        super().__init__((HOST, port), Handler)

    @property
    def address(self) -> str:
        """Where the pages are."""
        return f"http://{HOST}:{self.server_port}/"


class Handler(BaseHTTPRequestHandler):
    """GET and HEAD of the pages in `PAGES`; anything else is not there."""

    server: Viewer
    server_version, sys_version = "pcr-audit", ""

    def do_GET(self) -> None:
        """Answers with the page."""
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        """Answers with the page's head."""
        self._answer(with_body=False)

    def log_message(self, format: str, *args: Any) -> None:
        """The library never prints."""

    def _answer(self, with_body: bool) -> None:
        status, kind, body, policy = self._page()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Security-Policy", policy)
        for name, value in HEADERS.items():
            self.send_header(name, value)
        if status == HTTPStatus.FOUND:
            self.send_header("Location", body.decode())
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def _page(self) -> Answer:
        # A name that resolves to this machine must not let a foreign page read the run.
        if self.headers.get("Host") not in {f"{name}:{self.server.server_port}" for name in (HOST, "localhost")}:
            return _text(HTTPStatus.FORBIDDEN, "this viewer answers to its own address alone")
        page = PAGES.get(urlsplit(self.path).path)
        if page is None:
            return _text(HTTPStatus.NOT_FOUND, "there is no such page")
        try:
            return page(self.server.run)
        except RecordError as problem:
            return _text(HTTPStatus.INTERNAL_SERVER_ERROR, str(problem))


HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def _text(status: HTTPStatus, words: str) -> Answer:
    return status, "text/plain; charset=utf-8", words.encode(), DATA_POLICY


def _home(run: Path) -> Answer:
    there = "/report" if (run / RECORD).is_file() else "/progress"
    return HTTPStatus.FOUND, "text/plain; charset=utf-8", there.encode(), DATA_POLICY


def _shell(name: str, title: str) -> Callable[[Path], Answer]:
    def page(run: Path) -> Answer:
        nonce = secrets.token_urlsafe(16)
        html = _environment().get_template(f"{name}.html").render(
            title=title, run=run.name, here=f"/{name}", nonce=nonce,
            has_record=(run / RECORD).is_file(), has_pdf=(run / DOCUMENT).is_file(),
        )  # fmt: skip
        return HTTPStatus.OK, "text/html; charset=utf-8", html.encode(), PAGE_POLICY.format(nonce)

    return page


def _report(run: Path) -> Answer:
    """The report as it lies in the run, or drawn from the record where it was not written."""
    try:
        html = (run / REPORT).read_bytes()
    except OSError:
        html = render_html(load_record(run / RECORD), run).encode()
    return HTTPStatus.OK, "text/html; charset=utf-8", html, REPORT_POLICY


def _document(run: Path) -> Answer:
    try:
        return HTTPStatus.OK, "application/pdf", (run / DOCUMENT).read_bytes(), DATA_POLICY
    except OSError:
        return _text(HTTPStatus.NOT_FOUND, "this run has no report.pdf; `pcr-audit report` writes it")


def _items(run: Path) -> Answer:
    return HTTPStatus.OK, "application/json", as_json(run).encode(), DATA_POLICY


def _progress(run: Path) -> Answer:
    watched = read_progress(run)
    data = asdict(watched)
    for phase in data["phases"]:
        values = phase["values"]
        phase["values"] = values[:: max(1, len(values) // THINNED)] + values[-1:] if values else []
    return HTTPStatus.OK, "application/json", json.dumps(data).encode(), DATA_POLICY


PAGES: dict[str, Callable[[Path], Answer]] = {
    "/": _home,
    "/report": _shell("report", "Report"),
    "/items": _shell("items", "Items"),
    "/progress": _shell("progress", "Progress"),
    "/report.html": _report,
    "/report.pdf": _document,
    "/items.json": _items,
    "/progress.json": _progress,
}


def _environment() -> Environment:
    pages = Path(__file__).parent / "pages"
    return Environment(loader=FileSystemLoader(pages), autoescape=True, undefined=StrictUndefined)
