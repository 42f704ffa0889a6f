"""One browser for all tests of pages."""

import pytest
from browser import browser


@pytest.fixture(scope="package")
def chromium():
    """Headless Chromium, started by the first test that needs it."""
    with browser() as started:
        yield started
