"""The events of the report in a real browser: filter, sort, hear, mark, download."""

import csv
import pathlib

import numpy as np
import pytest
import soundfile
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

from pipeline.results.report.page_data import Limits
from pipeline.results.report.write_report import write_report
from tests.results.report.browser import (
    WAIT_S,
    by_id,
    check_quiet,
    show,
    text,
    wait_for,
    wait_until,
)
from tests.support.made_dataset import make_dataset, scored

LABELS = ('Dog, "loud"', "<b>Rain</b>", "Bark")
# The events, the most certain first: rain in b, dog in a, rain in a, bark in b.
RESULTS = {
    "a": scored([[0.9, 0, 0], [0, 0, 0], [0, 0, 0], [0, 0.8, 0]], [[1.0, 0.0]] * 4),
    "b": scored([[0, 0.95, 0], [0, 0, 0], [0, 0, 0.7]], [[1.0, 0.0]] * 3),
}


@pytest.fixture
def page(tmp_path: pathlib.Path) -> pathlib.Path:
    uris = [str(tmp_path / f"{name} 1,2.wav") for name in RESULTS]
    for uri in uris:
        soundfile.write(uri, np.zeros(24000), 8000)
    columns = {"recorded_at": ["2024-12-31T23:59:59+01:00", "2024-06-11T05:30:00"]}
    make_dataset(tmp_path / "out", RESULTS, LABELS, columns, uris=uris)
    write_report(str(tmp_path / "out"), str(tmp_path / "report.html"))
    return tmp_path / "report.html"


def rows_of(browser: webdriver.Chrome) -> list[list[str]]:
    """Returns the texts of the listed events, without their buttons."""
    script = (
        "return [...document.querySelectorAll('#event-rows tr')].map(row =>"
        "[...row.cells].slice(0, -1).map(cell => cell.textContent))"
    )
    rows: list[list[str]] = browser.execute_script(script)
    return rows


def press(browser: webdriver.Chrome, *keys: str) -> None:
    by_id(browser, "event-table").send_keys(*keys)


def sort_by(browser: webdriver.Chrome, key: str) -> list[str]:
    """Sorts the events by a column and returns the labels."""
    browser.find_element(By.CSS_SELECTOR, f"#event-heads [data-sort={key}]").click()
    return [row[0] for row in rows_of(browser)]


def test_events_are_listed_sorted_and_filtered(
    browser: webdriver.Chrome, page: pathlib.Path
) -> None:
    show(browser, page)
    dog, rain, bark = LABELS
    first, last = rows_of(browser)[0], rows_of(browser)[3]
    assert first == [
        rain,
        "b 1,2.wav",
        "0:00.0",
        "0:01.0",
        "0.95",
        "2024-06-11 05:30:00",
    ]
    assert last[:3] == [bark, "b 1,2.wav", "0:01.0"]
    # A year's end, in the hour that the recorder showed.
    assert rows_of(browser)[2][5] == "2025-01-01 00:00:00 +01:00"
    assert "their zone is unknown" in text(browser, "events-note")
    assert sort_by(browser, "label") == [rain, rain, bark, dog]
    assert sort_by(browser, "label") == [dog, bark, rain, rain]
    assert sort_by(browser, "time") == [rain, bark, dog, rain]
    assert sort_by(browser, "end")[3] == rain

    Select(by_id(browser, "event-label")).select_by_visible_text(f"{rain} (2)")
    wait_for(browser, "events-found", "2 events match.")
    assert [row[0] for row in rows_of(browser)] == [rain, rain]
    Select(by_id(browser, "event-label")).select_by_index(0)
    wait_for(browser, "events-found", "4 events match.")
    by_id(browser, "event-score").clear()
    by_id(browser, "event-score").send_keys("0.85")
    wait_for(browser, "events-found", "2 events match.")
    assert sorted(row[4] for row in rows_of(browser)) == ["0.90", "0.95"]
    by_id(browser, "event-text").send_keys("B 1")
    wait_for(browser, "events-found", "1 events match.")
    assert [row[1] for row in rows_of(browser)] == ["b 1,2.wav"]
    check_quiet(browser)


def test_events_are_heard_and_marked_by_keys(
    browser: webdriver.Chrome, page: pathlib.Path
) -> None:
    show(browser, page)
    press(browser, Keys.ARROW_DOWN, Keys.ARROW_DOWN, Keys.ARROW_DOWN)
    chosen = browser.find_elements(By.CSS_SELECTOR, "#event-rows [aria-selected=true]")
    assert [row.get_attribute("id") for row in chosen] == ["event-2"]
    audio = "document.querySelector('#event-player audio')"
    source = browser.execute_script(f"return {audio}.src")
    begin, _, start = source.partition("#t=")
    assert begin == (page.parent / "a 1,2.wav").as_uri()
    assert float(start) == pytest.approx(1.4966, abs=1e-3)
    wait_until(browser, f"Math.abs({audio}.currentTime - {start}) < 0.01")
    press(browser, Keys.SPACE)
    # The event ends with the clip, before the file does.
    wait_until(browser, f"{audio}.paused && {audio}.currentTime >= 2.5")
    assert browser.execute_script(f"return {audio}.currentTime") < 3

    press(browser, "y", Keys.ARROW_UP, "n", Keys.ARROW_UP, "Y", "y")
    assert text(browser, "mark-count") == "2 marks: 1 right, 1 wrong"
    pressed = browser.find_elements(By.CSS_SELECTOR, "#event-rows [aria-pressed=true]")
    assert [button.text for button in pressed] == ["✗ wrong", "✓ right"]
    Select(by_id(browser, "event-marks")).select_by_value("none")
    wait_for(browser, "events-found", "2 events match.")
    assert [row[4] for row in rows_of(browser)] == ["0.95", "0.70"]
    check_quiet(browser)


def test_marks_survive_a_new_page_and_are_downloaded(
    browser: webdriver.Chrome, page: pathlib.Path
) -> None:
    show(browser, page)
    rows = browser.find_elements(By.CSS_SELECTOR, "#event-rows tr")
    rows[0].find_element(By.CSS_SELECTOR, "[data-mark=yes]").click()
    rows[1].find_element(By.CSS_SELECTOR, "[data-mark=yes]").click()
    browser.find_element(By.CSS_SELECTOR, "#mark-chosen [data-mark=no]").click()
    # A page with fewer events knows the marks of others.
    write_report(str(page.parent / "out"), str(page), Limits(events=1))
    show(browser, page)
    assert text(browser, "events-note").startswith("1 of 4 events: the most certain")
    assert text(browser, "mark-count") == (
        "2 marks: 1 right, 1 wrong; 1 of events that this page does not list"
    )
    folder = page.parent / "downloads"
    where = {"behavior": "allow", "downloadPath": str(folder)}
    browser.execute_cdp_cmd("Browser.setDownloadBehavior", where)
    by_id(browser, "mark-save").click()
    path = folder / "marks.csv"
    WebDriverWait(browser, WAIT_S).until(lambda _: path.exists() and path.read_bytes())
    with path.open(newline="", encoding="utf-8") as file:
        found = [*csv.DictReader(file)]
    names = ["uri", "clip_id", "start_s", "end_s", "label", "correct"]
    assert [*found[0]] == names
    assert [[row[n] for n in names] for row in found] == [
        [str(page.parent / "a 1,2.wav"), "a", "0", "1.027664", LABELS[0], "no"],
        [str(page.parent / "b 1,2.wav"), "b", "0", "1.027664", LABELS[1], "yes"],
    ]
    check_quiet(browser)


def test_marks_work_where_the_browser_keeps_nothing(
    browser: webdriver.Chrome, page: pathlib.Path
) -> None:
    refuse = (
        "for (const name of ['getItem', 'setItem']) Storage.prototype[name] = () => {"
        "throw new DOMException('no', 'SecurityError'); };"
    )
    source = {"source": refuse}
    added = browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", source)
    try:
        show(browser, page)
        press(browser, "y")
    finally:
        browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", added)
    assert text(browser, "mark-count") == "1 mark: 1 right, 0 wrong"
    assert by_id(browser, "mark-note").is_displayed()
    assert "does not keep marks (SecurityError)" in text(browser, "mark-note")
    check_quiet(browser)


def test_a_page_without_events_says_why(
    browser: webdriver.Chrome, tmp_path: pathlib.Path
) -> None:
    results = {"a": scored([[0.1, 0.2, 0.3]])}
    make_dataset(tmp_path / "quiet", results, LABELS)
    make_dataset(tmp_path / "none", results, LABELS, outputs=("embeddings",))
    for name, message in (
        ("quiet", "No activation reaches the threshold (threshold 0.5)"),
        ("none", "The dataset has neither activations nor events"),
    ):
        write_report(str(tmp_path / name), str(tmp_path / "a.html"))
        show(browser, tmp_path / "a.html")
        assert text(browser, "events-note").startswith(message)
        assert not by_id(browser, "events-body").is_displayed()
        check_quiet(browser)
