"""What a student does on the page, and what is looked at there. For the tests of this folder."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.harness import PretendedLab
from tests.toy import GUARD

TERMINAL = """() => {
    const buffer = document.querySelector('[data-device="bench-1/console"] .panel')?.terminal?.buffer.active;
    const lines = Array.from({ length: buffer?.length ?? 0 }, (_, row) => buffer.getLine(row).translateToString(true));
    return lines.join("\\n").trimEnd();
}"""


def enter(page: Page, lab: PretendedLab) -> None:
    """Open the page and click into the terminal."""
    page.goto(f"{lab.url}/labkit/page")
    expect(page.locator("#devices")).to_have_attribute("data-ready", "true")
    expect(page.locator("#link")).to_have_attribute("data-state", "online")
    page.click(".xterm-screen")


def until(page: Page, holds: Callable[[], bool]) -> None:
    """Wait until something is so; the page's own events are let through meanwhile."""
    ends = time.monotonic() + GUARD
    while not holds():
        if time.monotonic() >= ends:
            pytest.fail(f"it did not come true within {GUARD:g} s")
        page.wait_for_timeout(50)


def shows(page: Page, text: str) -> None:
    until(page, lambda: text in page.evaluate(TERMINAL))


def calls(lab: PretendedLab) -> list[dict[str, Any]]:
    return [message for event, message in lab.events if event == "call"]
