"""What a browser complains about while a page runs. For every test with a page: most want to hear nothing."""

from __future__ import annotations

from playwright.sync_api import Page

OF_THE_LIBRARY = "WebSocket is already in CLOSING or CLOSED state."
"""Chromium says so where Socket.IO ends a connection just as it moves over to a WebSocket; nothing is lost by it."""


def note_complaints(page: Page, complaints: list[str]) -> Page:
    """Write down errors on the browser's console, and those that no script of the page has caught."""
    page.on(
        "console",
        lambda said: complaints.extend([said.text] if said.type == "error" and said.text != OF_THE_LIBRARY else []),
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))
    return page
