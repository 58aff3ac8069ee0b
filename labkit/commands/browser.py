"""Opening the user's browser, where there is a screen to show it on."""

from __future__ import annotations

import os
import sys
import webbrowser


def open_browser(url: str) -> bool:
    """Open the URL for a person at a graphical screen; over SSH and in scripts nothing. Returns whether it did."""
    screen = sys.platform == "darwin" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    return bool(screen) and sys.stdout.isatty() and webbrowser.open(url)
