"""The document: says what the record says, embeds everything, trusts nothing."""

import hashlib
import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import ImageFile
from pypdf import PdfReader

from reports import pdf
from reports.chapters import chapters
from reports.errors import RecordError
from reports.pdf import render_pdf
from reports.record import AuditRecord, Verdict
from reports.render import render_html
from reports.writing import write_formats
from tests.reports import builders
from tests.reports.documents import Documents

Runs = dict[str, tuple[AuditRecord, Path]]
Pages = dict[str, str]
HEADLINES = {
    "clean": "No evidence of a backdoor was found in the model as given within the stated scope.",
    "repaired": "No evidence of a backdoor was found in the repaired model within the stated scope.",
    "inconclusive": "This run cannot judge the model as given. It is neither a pass nor a fail.",
    "certified": "No evidence of a backdoor was found in the repaired model within the stated scope.",
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
        assert all(uri.startswith(("data:image/", "#")) for uri in re.findall(r'(?:src|href)="([^"]*)"', html))
        assert "<script" not in html and "@import" not in html and "url(" not in html


def test_page_names_the_digest_of_the_record_beside_it(runs: Runs, pages: Pages) -> None:
    for name, (_, folder) in runs.items():
        assert hashlib.sha256((folder / "record.json").read_bytes()).hexdigest() in pages[name]


def test_small_pictures_stay_crisp(pages: Pages) -> None:
    # Five of the finding; of two samples each a clean and a stamped one and two maps.
    assert pages["repaired"].count('class="pixelated"') == 5 + 2 * 4


def test_chapters_come_in_the_order_in_which_a_board_reads(pages: Pages, runs: Runs) -> None:
    order = ["scores", "findings", "attribution", "quality", "controls", "calibration", "method", "coverage", "limits",
             "mapping", "reproducibility", "signoff"]  # fmt: skip
    for name, html in pages.items():
        found = re.findall(r'<section id="(\w+)">', html)
        assert [chapter for chapter in found if chapter != "policy"] == order
        assert found == [chapter.name for chapter in chapters(runs[name][0])]
        assert ("policy" in found) == (name == "certified")
        assert re.findall(r'<a href="#(\w+)">', html) == ["verdict", *found]


def test_what_is_missing_is_said_in_its_chapter(pages: Pages) -> None:
    text = words(pages["clean"])
    assert "how much this scan would have missed is not known" in text
    assert "Nothing was repaired, so there is no change of benign quality to measure." in text
    assert "No policy was applied" in text


def test_policy_controls_and_calibration_are_shown_when_they_are_there(pages: Pages) -> None:
    text = words(pages["certified"])
    assert "2 of 2 with attack success" in text and "against 19 models known to carry nothing" in text
    assert "residual-asr" in text and "waived by A. Owner" in text and "/scores/after/asr_fresh" in text


def test_a_p_value_of_the_whole_scan_is_pointed_to_beside_its_findings(tmp_path: Path) -> None:
    found, whole = builders.repaired(tmp_path), "The p-value of the whole scan is under"
    for about, told in (("model", True), ("repaired model", False)):
        table = builders.calibration().model_copy(update={"about": about})
        text = words(render_html(found.model_copy(update={"calibrated_by": table}), tmp_path))
        assert (whole in text) == told and "no p-value of its own" in text


def test_mapping_says_evidence_for_and_never_compliant(pages: Pages) -> None:
    for html in pages.values():
        text = words(html)
        assert "Evidence for it in this record" in text and "whether an organisation meets a framework" in text
        assert not re.search(r"\bcompl(iant|ies|iance)\b", text)


def test_cells_carry_the_names_of_their_columns_for_narrow_screens(pages: Pages) -> None:
    for html in pages.values():
        for table in re.findall(r'<table class="[^"]*\bcards\b[^"]*".*?</table>', html, re.DOTALL):
            assert all("data-label=" in cell for cell in re.findall(r"<td[^>]*>", table))


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


@pytest.mark.parametrize(("name", "most"), [("clean", 5), ("repaired", 15), ("inconclusive", 5), ("certified", 15)])
def test_pdf_is_short_and_opens_with_the_verdict(documents: Documents, name: str, most: int) -> None:
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


def test_pdf_carries_its_metadata(documents: Documents) -> None:
    meta = PdfReader(documents["repaired"] / "report.pdf").metadata
    assert meta is not None and meta.title == "Backdoor audit of captioner: PASS"
    assert meta.author == "pcr-audit 0.1.0" and builders.digest("captioner-repaired") in (meta.subject or "")


def test_pages_after_the_first_carry_digests_and_date(documents: Documents) -> None:
    folder = documents["repaired"]
    record = hashlib.sha256((folder / "record.json").read_bytes()).hexdigest()[:12]
    for page in PdfReader(folder / "report.pdf").pages[1:]:
        text = page.extract_text()
        assert builders.digest("captioner-repaired")[7:19] in text and record in text and "2026-11-21" in text


@pytest.mark.parametrize("name", ["clean", "certified"])
def test_pdf_is_a4_tagged_titled_and_has_its_fonts_in_it(documents: Documents, name: str) -> None:
    reader = PdfReader(documents[name] / "report.pdf")
    root = reader.trailer["/Root"]
    assert root["/MarkInfo"]["/Marked"] and root["/ViewerPreferences"]["/DisplayDocTitle"] and root["/Lang"] == "en"
    assert "/StructTreeRoot" in root and b"pdfuaid:part" in root["/Metadata"].get_data()
    for page in reader.pages:
        assert (round(page.mediabox.width), round(page.mediabox.height)) == (595, 842)
    fonts = {str(font): font for page in reader.pages for font in page["/Resources"].get("/Font", {}).values()}
    assert fonts
    for font in fonts.values():
        descriptor = font.get_object()["/DescendantFonts"][0].get_object()["/FontDescriptor"]
        assert {"/FontFile2", "/FontFile3"} & descriptor.keys() and "+Report" in descriptor["/FontName"]


def test_contents_name_the_page_each_chapter_begins_on(documents: Documents, runs: Runs) -> None:
    pages = [
        re.sub(r"\s+", " ", page.extract_text()) for page in PdfReader(documents["certified"] / "report.pdf").pages
    ]
    listed = pages[1].partition("Contents")[2]
    for chapter in chapters(runs["certified"][0]):
        found = re.search(re.escape(f"{chapter.number} {chapter.title}") + r"[ .]*(\d+)", listed)
        assert found, chapter
        body = pages[int(found[1]) - 1] if int(found[1]) != 2 else listed.rpartition("Sign-off")[2]
        assert f"{chapter.number} {chapter.title}" in body


def test_pdf_has_a_bookmark_for_every_chapter(documents: Documents, runs: Runs) -> None:
    def titles(entries: list[object]) -> list[str]:
        return [
            name for e in entries for name in (titles(e) if isinstance(e, list) else [str(getattr(e, "title", ""))])
        ]

    found = " ".join(titles(list(PdfReader(documents["clean"] / "report.pdf").outline)))
    assert all(chapter.title in found for chapter in chapters(runs["clean"][0]))


def test_same_record_gives_the_same_bytes_in_another_process(runs: Runs, documents: Documents) -> None:
    folder = documents["inconclusive"]
    code = (
        "import sys; from reports.record import load_record; from reports.render import render_html; "
        "from reports.pdf import render_pdf; folder = sys.argv[1]; "
        "sys.stdout.buffer.write(render_pdf(render_html(load_record(folder + '/record.json'), folder)))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "4711", "SOURCE_DATE_EPOCH": "1000000000", "TZ": "Asia/Tokyo"}
    root = Path(__file__).parents[2]
    made = subprocess.run([sys.executable, "-c", code, str(folder)], cwd=root, env=environment, stdout=subprocess.PIPE)
    assert made.returncode == 0 and made.stdout == (folder / "report.pdf").read_bytes()


def test_no_table_or_figure_is_torn_across_pages() -> None:
    css = (Path(render_html.__code__.co_filename).parent / "templates" / "report.css").read_text("utf-8")
    for rule in ("table {", "figure {", ".pair {", ".framework {", ".tiles {"):
        body = css.partition(f"\n{rule}")[2].partition("}")[0]
        assert "break-inside: avoid" in body, rule


def test_without_pango_the_page_is_still_written(runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_pango(_: str) -> None:
        raise OSError("cannot load library 'libpango-1.0-0'")

    monkeypatch.setattr(pdf, "import_module", no_pango)
    written = write_formats(runs["inconclusive"][0], tmp_path)
    assert written == [tmp_path / "report.html"] and written[0].is_file()
    assert "apt install libpango-1.0-0" in written.notice and "brew install pango" in written.notice
    (tmp_path / "report.pdf").write_bytes(b"old")
    assert "earlier run" in write_formats(runs["inconclusive"][0], tmp_path).notice


def test_loggers_are_left_as_they_were(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG), pdf._quiet():
        logging.getLogger("weasyprint").error("noise")
        logging.getLogger("fontTools.subset").error("noise")
    assert not caplog.records
    assert logging.getLogger("fontTools").level == logging.NOTSET


def test_making_a_pdf_leaves_pillow_strict_about_truncated_pictures() -> None:
    render_pdf("<p>a page</p>")
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False
