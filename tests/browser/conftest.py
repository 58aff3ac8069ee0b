"""A pretended lab, and a student's page on it that fails the test where the browser complains about anything."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.harness import PretendedLab

BANNER = "demo board 1.0\r\n> "


@pytest.fixture
def lab() -> Iterator[PretendedLab]:
    with PretendedLab() as lab:
        lab.say(BANNER)
        yield lab


@pytest.fixture
def complaints() -> list[str]:
    """What the browser's console says; a test that expects some clears it."""
    return []


@pytest.fixture
def page(browser: Browser, lab: PretendedLab, complaints: list[str]) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: request.url.startswith((lab.url, "blob:")) or complaints.append(request.url))
    yield page
    context.close()
    assert complaints == []
