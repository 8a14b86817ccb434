"""The document: says what the record says, embeds everything, trusts nothing."""

import hashlib
import logging
import re
from pathlib import Path

import pytest
from PIL import ImageFile
from pypdf import PdfReader

from reports import render
from reports.errors import RecordError
from reports.record import AuditRecord, Verdict
from reports.render import render_html, render_pdf, write_report
from tests.reports import builders

Runs = dict[str, tuple[AuditRecord, Path]]
Pages = dict[str, str]
HEADLINES = {
    "clean": "No evidence of a backdoor was found in the model as given within the stated scope.",
    "repaired": "No evidence of a backdoor was found in the repaired model within the stated scope.",
    "inconclusive": "This run cannot judge the model as given. It is neither a pass nor a fail.",
}


def words(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", "", html.partition("<body>")[2]))


@pytest.mark.parametrize("name", sorted(HEADLINES))
def test_page_says_the_verdict_in_words(runs: Runs, pages: Pages, name: str) -> None:
    text = words(pages[name])
    assert HEADLINES[name] in text
    assert runs[name][0].verdict.outcome.upper() in text
    assert runs[name][0].verdict.reasons[0] in text


def test_page_never_calls_a_model_clean_or_safe(pages: Pages) -> None:
    for html in pages.values():
        assert not re.search(r"model (is|was) (clean|safe|secure)", words(html))


def test_repaired_page_shows_both_verdicts_and_both_numbers(pages: Pages) -> None:
    text = words(pages["repaired"])
    assert text.index("FAIL") < text.index("PASS")
    assert "0.98 (0.95–0.99, n = 200)" in text and "0.02 (0.003–0.04, n = 200)" in text
    assert builders.TARGET in text and "196 of 200" in text


def test_page_loads_nothing_from_outside(pages: Pages) -> None:
    for html in pages.values():
        assert all(uri.startswith("data:image/") for uri in re.findall(r'(?:src|href)="([^"]*)"', html))
        assert "<script" not in html and "@import" not in html and "url(" not in html


def test_page_names_the_digest_of_the_record_beside_it(runs: Runs, pages: Pages) -> None:
    for name, (_, folder) in runs.items():
        assert hashlib.sha256((folder / "record.json").read_bytes()).hexdigest() in pages[name]


def test_small_pictures_stay_crisp(pages: Pages) -> None:
    assert pages["repaired"].count('class="pixelated"') == 5


def test_text_of_model_and_data_is_escaped(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>\u202e{{ 7 * 7 }}"
    record = builders.repaired(tmp_path)
    finding = record.findings[0].model_copy(update={"target": evil, "examples": [evil], "notes": [evil]})
    answers = [item.model_copy(update={"before": evil, "prompt": evil}) for item in record.answers]
    model = record.model.model_copy(update={"path": f"models/{evil}", "family": evil})
    update = {"findings": [finding], "answers": answers, "model": model, "limits": [evil], "command": [evil]}
    html = render_html(record.model_copy(update=update), tmp_path)
    assert "<script" not in html and "\u202e" not in html
    assert "&lt;script&gt;alert(1)" in html and "{{ 7 * 7 }}" in html


@pytest.mark.parametrize("field", ["pictures", "before_map", "clean_picture"])
def test_picture_outside_the_folder_is_refused(tmp_path: Path, field: str) -> None:
    record = builders.repaired(tmp_path)
    outside = "../outside.png"
    if field == "pictures":
        update: dict[str, object] = {"findings": [record.findings[0].model_copy(update={field: {"trigger": outside}})]}
    else:
        update = {"attribution": [record.attribution[0].model_copy(update={field: outside})]}
    with pytest.raises(RecordError, match="leaves the run's folder"):
        render_html(record.model_copy(update=update), tmp_path)


def test_missing_pictures_are_named_in_their_place(tmp_path: Path) -> None:
    record = builders.repaired(tmp_path / "made")
    text = words(render_html(record, tmp_path))
    assert "not shown: pictures/trigger.png" in text and "not shown: pictures/stamped.png" in text


def test_evidence_and_gate_failures_read_differently() -> None:
    found = builders.base(verdict=Verdict(outcome="fail"), findings=[builders.planted({})])
    gate = builders.base(verdict=Verdict(outcome="fail"), findings=[builders.weak()])
    assert "There is evidence of a backdoor in the model as given." in words(render_html(found, "."))
    assert "A release gate was not met by the model as given." in words(render_html(gate, "."))


def test_reasons_that_page_1_cuts_stand_in_full_elsewhere() -> None:
    long = "A reason that goes on. " * 20
    html = render_html(builders.base(verdict=Verdict(outcome="fail", reasons=[long, "short"])), ".")
    assert f"({len(long)} characters)" in html and long.strip() in words(html)


def test_evidence_in_the_repaired_model_is_shown_in_detail(tmp_path: Path) -> None:
    record = builders.repaired(tmp_path)
    failed = {"findings_after": record.findings[:1], "verdict": Verdict(outcome="fail", about="repaired model")}
    text = words(render_html(record.model_copy(update=failed), tmp_path))
    assert "There is evidence of a backdoor in the repaired model." in text
    assert "Finding 1 in the repaired model: evidence of a backdoor" in text


def test_bare_record_can_be_rendered() -> None:
    bare: dict[str, object] = {
        "findings": [],
        "settings": {},
        "versions": {},
        "limits": [],
        "competence": None,
        "seconds": None,
    }
    assert "No candidate is recorded." in words(render_html(builders.base(**bare), "."))


def test_most_severe_finding_comes_first_and_long_lists_are_cut(tmp_path: Path) -> None:
    many = [builders.weak(f"answer {place}") for place in range(40)]
    text = words(render_html(builders.base(findings=[*many, builders.planted({})]), tmp_path))
    assert text.index(builders.TARGET) < text.index("answer 0")
    assert "29 more" in text


@pytest.mark.parametrize(("name", "most"), [("clean", 5), ("repaired", 10), ("inconclusive", 4)])
def test_pdf_is_short_and_opens_with_the_verdict(documents: dict[str, Path], name: str, most: int) -> None:
    reader = PdfReader(documents[name] / "report.pdf")
    first = re.sub(r"\s+", " ", reader.pages[0].extract_text())
    assert len(reader.pages) <= most
    assert (
        HEADLINES[name] in first
        and "What to do next" in first
        and "Not looked for:" in first
        and f"Page 1 of {len(reader.pages)}" in first
    )
    assert "Sign-off" in reader.pages[-1].extract_text()


def test_pdf_carries_its_metadata(documents: dict[str, Path]) -> None:
    meta = PdfReader(documents["repaired"] / "report.pdf").metadata
    assert meta is not None and meta.title == "Backdoor audit of captioner: PASS"
    assert meta.author == "pcr-audit 0.1.0" and builders.digest("captioner-repaired") in (meta.subject or "")


def test_pages_after_the_first_carry_the_digest(documents: dict[str, Path]) -> None:
    pages = PdfReader(documents["repaired"] / "report.pdf").pages
    digest = builders.digest("captioner-repaired")[7:19]
    assert all(digest in page.extract_text() for page in pages[1:])


def test_without_pango_the_page_is_still_written(runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_pango(_: str) -> None:
        raise OSError("cannot load library 'libpango-1.0-0'")

    monkeypatch.setattr(render, "import_module", no_pango)
    written = write_report(runs["inconclusive"][0], tmp_path)
    assert written == [tmp_path / "report.html"] and written[0].is_file()
    assert "apt install libpango-1.0-0" in written.notice and "brew install pango" in written.notice
    (tmp_path / "report.pdf").write_bytes(b"old")
    assert "earlier run" in write_report(runs["inconclusive"][0], tmp_path).notice


def test_loggers_are_left_as_they_were(documents: dict[str, Path], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG), render._quiet():
        logging.getLogger("weasyprint").error("noise")
        logging.getLogger("fontTools.subset").error("noise")
    assert not caplog.records
    assert logging.getLogger("fontTools").level == logging.NOTSET


def test_making_a_pdf_leaves_pillow_strict_about_truncated_pictures() -> None:
    render_pdf("<p>a page</p>")
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False
