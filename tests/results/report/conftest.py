"""The browser of the tests of pages."""

from collections.abc import Iterator

import pytest
from selenium import webdriver

from tests.results.report.browser import start_browser


@pytest.fixture(scope="session")
def browser() -> Iterator[webdriver.Chrome]:
    chrome = start_browser()
    if chrome is None:
        pytest.skip("needs Debian's packages chromium and chromium-driver")
    yield chrome
    chrome.quit()
