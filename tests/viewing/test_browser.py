"""The pages in a real browser: they fit a phone, tables sort and filter, progress moves, and nothing hostile runs."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from auditor.viewing.progress import ProgressLog
from auditor.viewing.server import Viewer
from reports.render import render_html
from tests.reports import builders
from tests.viewing.local import EVIL, serving

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(300),
    pytest.mark.skipif(BROWSER is None or DRIVER is None, reason="needs Chromium or Chrome with its driver"),
]
PHONE, DESK = (360, 740), (1280, 900)


@pytest.fixture(scope="module")
def chrome() -> Iterator["Chrome"]:
    webdriver = pytest.importorskip("selenium.webdriver")
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    try:
        yield driver
    finally:
        driver.quit()


def look(chrome: "Chrome", address: str, size: tuple[int, int]) -> None:
    """Opens a page in a screen of that size."""
    width, height = size
    chrome.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": size == PHONE},
    )
    chrome.get(address)


def wait(chrome: "Chrome", script: str) -> object:
    """What the script returns once it returns something true."""
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(chrome, 60).until(lambda driver: driver.execute_script(f"return {script}"))


def column(chrome: "Chrome", place: int) -> list[str]:
    """The texts of that column of the first table, as they stand on the page."""
    cells: list[str] = chrome.execute_script(
        "return [...document.querySelectorAll('#tables section:first-child tbody tr')]"
        f".map((row) => row.children[{place}].textContent)"
    )
    return cells


def type_into(chrome: "Chrome", selector: str, text: str) -> None:
    from selenium.webdriver.common.by import By

    box = chrome.find_element(By.CSS_SELECTOR, selector)
    box.clear()
    box.send_keys(text)


def wider_than_the_screen(chrome: "Chrome") -> list[str]:
    """What makes the page scroll sideways, or scrolls sideways itself."""
    found: list[str] = chrome.execute_script(
        "const wide = document.documentElement.scrollWidth > window.innerWidth ? ['the page'] : [];"
        "for (const node of document.querySelectorAll('main *')) {"
        "  const box = node.getBoundingClientRect();"
        "  const scrolls = ['auto', 'scroll'].includes(getComputedStyle(node).overflowX);"
        "  if (box.right > window.innerWidth + 1 || (scrolls && node.scrollWidth > node.clientWidth + 1))"
        "    wide.push(`${node.tagName} ${node.className}: ${node.textContent.slice(0, 60)}`);"
        "} return wide.slice(0, 5)"
    )
    return found


@pytest.mark.parametrize("name", ["certified", "inconclusive"])
def test_the_report_can_be_read_on_a_phone(chrome: "Chrome", tmp_path: Path, name: str) -> None:
    record = getattr(builders, name)(tmp_path)
    (tmp_path / "report.html").write_text(render_html(record, tmp_path), "utf-8")
    look(chrome, (tmp_path / "report.html").as_uri(), PHONE)
    assert wider_than_the_screen(chrome) == []
    tall = "[...document.querySelectorAll('td')].filter((cell) => cell.getBoundingClientRect().height > 320)"
    assert chrome.execute_script(f"return {tall}.map((cell) => cell.textContent)") == []
    assert chrome.execute_script("return parseFloat(getComputedStyle(document.querySelector('p')).fontSize)") >= 13


def test_the_report_shows_every_picture_and_loads_nothing_from_outside(chrome: "Chrome", tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text(render_html(builders.certified(tmp_path), tmp_path), "utf-8")
    look(chrome, (tmp_path / "report.html").as_uri(), DESK)
    assert chrome.execute_script("return [...document.images].filter((image) => !image.naturalWidth).length") == 0
    loaded = chrome.execute_script("return performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert [name for name in loaded if not name.startswith("data:")] == []


def test_tables_sort_by_number_and_back(chrome: "Chrome", viewer: Viewer) -> None:
    look(chrome, viewer.address + "items", DESK)
    wait(chrome, "document.querySelectorAll('tbody tr').length > 0")
    assert column(chrome, 0) == ["scene-2", "scene-10", "scene-1"]
    chrome.execute_script("document.querySelector('th button').click()")
    assert column(chrome, 0) == ["scene-1", "scene-2", "scene-10"]
    chrome.execute_script("document.querySelector('th button').click()")
    assert column(chrome, 0) == ["scene-10", "scene-2", "scene-1"]
    assert chrome.execute_script("return document.querySelector('th[aria-sort]').ariaSort") == "descending"


def test_tables_filter_by_column_and_by_any(chrome: "Chrome", viewer: Viewer) -> None:
    look(chrome, viewer.address + "items", DESK)
    wait(chrome, "document.querySelectorAll('tbody tr').length > 0")
    type_into(chrome, "input[aria-label='filter answer']", "10 SQ")
    assert column(chrome, 0) == ["scene-10"]
    type_into(chrome, "input[aria-label='filter answer']", "")
    type_into(chrome, "#all", "error")
    assert column(chrome, 0) == []
    headings = chrome.execute_script("return [...document.querySelectorAll('h2')].map((node) => node.textContent)")
    assert headings == ["scan: 0 of 3", "verify: 1 of 1"]


def test_items_can_be_read_on_a_phone(chrome: "Chrome", viewer: Viewer) -> None:
    look(chrome, viewer.address + "items", PHONE)
    wait(chrome, "document.querySelectorAll('tbody tr').length > 0")
    assert wider_than_the_screen(chrome) == []


def test_what_a_model_said_is_shown_and_never_run(chrome: "Chrome", viewer: Viewer) -> None:
    look(chrome, viewer.address + "items", DESK)
    wait(chrome, "document.querySelectorAll('tbody tr').length > 0")
    assert EVIL in chrome.execute_script("return document.body.textContent")
    assert chrome.title == "Items · run" and chrome.execute_script("return document.images.length") == 0


def test_the_report_is_framed_and_its_contents_lead_to_the_chapters(chrome: "Chrome", viewer: Viewer) -> None:
    look(chrome, viewer.address, DESK)
    assert chrome.current_url == viewer.address + "report"
    chrome.switch_to.frame(0)
    wait(chrome, "document.querySelector('h1') !== null")
    assert "captioner" in chrome.execute_script("return document.querySelector('h1').textContent")
    chrome.execute_script("document.querySelector('a[href=\"#signoff\"]').click()")
    wait(chrome, "document.querySelector('#signoff').getBoundingClientRect().top < window.innerHeight")
    chrome.switch_to.default_content()


def test_progress_moves_and_ends_at_the_report(
    chrome: "Chrome", finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("auditor.viewing.progress.EVERY", 0.0)
    run = tmp_path / "run"
    log = ProgressLog(run, ["pcr-audit", "audit", "model/"])
    log("search additive", 0.25)
    with serving(run) as viewer:
        look(chrome, viewer.address, DESK)
        wait(chrome, "document.querySelector('progress') && document.querySelector('progress').value === 0.25")
        assert chrome.execute_script("return document.querySelector('h1').textContent") == "The run is going on"
        for step in range(5):
            log(f"repair total {2.0 / (step + 1):.3f}", step / 10)
        wait(chrome, "document.querySelectorAll('progress').length === 2")
        assert "total 0.400" in wait(chrome, "document.querySelector('.values').textContent")  # type: ignore[operator]
        run.mkdir()
        (run / "record.json").write_bytes((finished / "record.json").read_bytes())
        log.close(finished=True)
        wait(chrome, "location.pathname === '/report'")
