"""Recordings, calendar and coverage of the report in a real browser."""

import pathlib
from typing import Any

import numpy as np
import pytest
import soundfile
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select

from pipeline.results.report.page_data import Limits
from pipeline.results.report.write_report import write_report
from tests.results.report.browser import (
    by_id,
    check_quiet,
    show,
    text,
    wait_for,
    wait_until,
)
from tests.support.made_dataset import make_dataset, scored
from transforms.elements import Prediction

LABELS = ("<b>Rain</b>", "Dog", "Bark")


def rain_then_dog(num_patches: int) -> Prediction:
    """Rain in all patches, and Dog in the second half."""
    values = np.zeros((num_patches, 3))
    values[:, 0] = 0.8
    values[num_patches // 2 :, 1] = 1
    return scored(values, np.zeros((num_patches, 2)))


def chart(browser: webdriver.Chrome, name: str, value: str) -> Any:
    """Returns a value of the only trace of a chart; `t` is the trace."""
    script = f"const t = document.getElementById('{name}').data[0]; return {value}"
    return browser.execute_script(script)


@pytest.fixture
def page(tmp_path: pathlib.Path) -> pathlib.Path:
    """Two recorders; the first one has a gap of an hour and no zone."""
    files = {
        "one/a$1$": ("2024-06-10T23:30:00", 361),
        "one/b": ("2024-06-11T01:00:30", 181),
        "two/c": ("2024-06-11T01:00:00+02:00", 361),
        "two/d": ("2024-06-11T01:02:00+02:00", 20),
        "two/unknown": (None, 20),
    }
    uris = [str(tmp_path / f"{name}.wav") for name in files]
    for uri in uris:
        pathlib.Path(uri).parent.mkdir(exist_ok=True)
        soundfile.write(uri, np.zeros(181 * 3000), 3000)
    columns = {"recorded_at": [time for time, _ in files.values()]}
    results = {name: rain_then_dog(count) for name, (_, count) in files.items()}
    make_dataset(tmp_path / "out", results, LABELS, columns, uris=uris)
    write_report(str(tmp_path / "out"), str(tmp_path / "report.html"))
    return tmp_path / "report.html"


def test_recordings_are_drawn_and_played(
    browser: webdriver.Chrome, page: pathlib.Path
) -> None:
    show(browser, page)
    assert by_id(browser, "recordings").is_displayed()
    assert "2 recordings of over two minutes" in text(browser, "by-recording-note")
    options = [
        option.text for option in Select(by_id(browser, "overview-label")).options
    ]
    assert [option.split(" (")[0] for option in options] == ["<b>Rain</b>", "Dog"]
    # In the order of time.
    ticks = browser.execute_script(
        "return document.getElementById('recording-chart').layout.yaxis.ticktext"
    )
    assert ticks == ["a$\u20601$\u2060", "c"]
    z = chart(browser, "recording-chart", "t.z")
    assert len(z) == 2 and {round(value, 1) for value in z[0]} == {0.8}
    Select(by_id(browser, "overview-label")).select_by_index(1)
    half = "t.z[0][0] === 0 && t.z[0][t.z[0].length - 1] === 1"
    drawn = f"(() => {{ const t = $$('recording-chart').data[0]; return {half} }})()"
    wait_until(browser, drawn.replace("$$", "document.getElementById"))
    assert "2024-06-11 01:02:59 +02:00" in chart(
        browser, "recording-chart", "t.text[1][359]"
    )
    browser.execute_script(
        "document.getElementById('recording-chart').emit('plotly_click',"
        "{points: [{x: 100.25, y: 0}]})"
    )
    source = "document.querySelector('#recording-player audio').src"
    name, _, start = browser.execute_script(f"return {source}").partition("#t=")
    assert name == (page.parent / "one" / "a$1$.wav").as_uri().replace("$", "%24")
    assert float(start) == pytest.approx(100, abs=0.01)
    check_quiet(browser)


def test_the_calendar_shows_hours_without_audio(
    browser: webdriver.Chrome, page: pathlib.Path
) -> None:
    show(browser, page)
    note = text(browser, "by-day-note")
    assert "share of the audio" in note and "each 15 min" in note
    assert "(local time, zone unknown; UTC+02:00)" in note
    recorder = Select(by_id(browser, "recorder"))
    assert [option.text for option in recorder.options] == [
        "all recorders",
        *(str(page.parent / name) for name in ("one", "two")),
    ]
    used = "t.z.map(row => row.flatMap((value, i) => value === null ? [] : [i]))"
    assert chart(browser, "calendar-chart", used) == [[94], [4]]
    assert chart(browser, "calendar-chart", "t.z[1][4]") == pytest.approx(1, abs=0.05)
    assert "of about 4 min" in chart(browser, "calendar-chart", "t.text[1][4]")
    Select(by_id(browser, "by-day-value")).select_by_value("highest")
    wait_for(browser, "by-day-note", "highest activation")
    assert chart(browser, "calendar-chart", "t.z[1][4]") == pytest.approx(0.8, abs=0.01)
    recorder.select_by_index(2)
    days = "document.getElementById('calendar-chart').data[0].z.length"
    wait_until(browser, f"{days} === 1")
    assert chart(browser, "calendar-chart", used) == [[4]]
    by_id(browser, "theme").click()
    check_quiet(browser)


def test_gaps_and_overlaps_are_counted_and_listed(
    browser: webdriver.Chrome, page: pathlib.Path
) -> None:
    show(browser, page)
    assert text(browser, "coverage-note") == (
        "1 gap and 1 overlap in 2 recorders. The time of 1 file is not known."
    )
    assert "a change of the clocks looks like a gap" in text(browser, "coverage-how")
    rows = browser.find_elements(By.CSS_SELECTOR, "#recorder-rows tr")
    cells = [c.text for c in rows[1].find_elements(By.TAG_NAME, "td")]
    assert cells[1:3] == ["2024-06-11 01:00:00 +02:00", "2024-06-11 01:03:01 +02:00"]
    (gap,) = browser.find_elements(By.CSS_SELECTOR, "#gaps tbody tr")
    shown = str(gap.get_property("textContent"))
    assert shown.endswith("one2024-06-10 23:33:011 h 27 mina$1$.wavb.wav")
    (overlap,) = browser.find_elements(By.CSS_SELECTOR, "#overlaps tbody tr")
    assert "10.5 sc.wavd.wav" in str(overlap.get_property("textContent"))
    check_quiet(browser)


def test_long_recordings_without_times_have_no_calendar(
    browser: webdriver.Chrome, tmp_path: pathlib.Path
) -> None:
    results = {"long": rain_then_dog(300), "b": rain_then_dog(250)}
    make_dataset(tmp_path / "out", results, LABELS)
    limits = Limits(recordings=1)
    write_report(str(tmp_path / "out"), str(tmp_path / "a.html"), limits)
    show(browser, tmp_path / "a.html")
    assert by_id(browser, "by-recording").is_displayed()
    assert "1 of 2 recordings" in text(browser, "by-recording-note")
    for name in ("by-day", "coverage"):
        assert not by_id(browser, name).is_displayed()
    check_quiet(browser)


def test_short_clips_without_times_have_no_such_section(
    browser: webdriver.Chrome, tmp_path: pathlib.Path
) -> None:
    make_dataset(tmp_path / "out", {"short": rain_then_dog(9)}, LABELS)
    write_report(str(tmp_path / "out"), str(tmp_path / "a.html"))
    show(browser, tmp_path / "a.html")
    for name in ("recordings", "recordings-link"):
        assert not by_id(browser, name).is_displayed()
    check_quiet(browser)
