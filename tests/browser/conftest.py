"""A pretended lab, and a student's page on it that fails the test where the browser complains about anything."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.complaints import note_complaints
from tests.browser.harness import PretendedLab

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 30_000.0  # ms
BANNER = "demo board 1.0\r\n> "


@pytest.fixture(autouse=True)
def patient() -> Iterator[None]:
    """A page may take its time to show something: a busy machine starts a page in more than five seconds."""
    expect.set_options(timeout=PATIENCE)
    yield
    expect.set_options(timeout=None)


@pytest.fixture
def root() -> Path:
    return ROOT


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
    note_complaints(page, complaints)
    page.on("request", lambda request: complaints.extend([] if is_own(request.url, lab) else [request.url]))
    yield page
    context.close()
    assert complaints == []


def is_own(url: str, lab: PretendedLab) -> bool:
    return url.startswith((lab.url, "blob:"))
