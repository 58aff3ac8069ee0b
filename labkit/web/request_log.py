"""Session ids stay out of the logs of requests, and out of what is said of paths. Used by access and rlms.

A session's link, and what its RLMS asks, have its id in their path, and servers log paths: Flask's own with each
request, gunicorn where it is told to, and Flask with the error of a view.
"""

from __future__ import annotations

import logging
import re

from flask import Flask

from labkit.log_text import hashed

_SERVERS = ("werkzeug", "gunicorn.access", "gunicorn.error")
_ID = re.compile(r"(?<=/)[A-Za-z0-9_-]{43}(?![A-Za-z0-9_-])")
"""A part of a path that is as long as a session's id, and made of the same characters."""


def without_ids(text: str) -> str:
    """Text with a path in it, in which the start of its hash stands for each session's id."""
    return _ID.sub(lambda found: hashed(found[0]), text)


class _HashedIds(logging.Filter):
    """Has a line name sessions as all of labkit's lines do."""

    def filter(self, record: logging.LogRecord) -> bool:
        try:
            line = record.getMessage()
        except Exception:  # its words don't fit its arguments: logging itself says so, and who logs must not fail at it
            return True
        if _ID.search(line):
            record.msg, record.args = without_ids(line), None
        return True


_HASHED_IDS = _HashedIds()  # one for all labs of a process: a logger takes the same filter once


def keep_ids_out(app: Flask) -> None:
    """Have the app's log and its server's name sessions by their hash.

    By the logger's name: `app.logger` would be given its handler now, before the app's author has set up any logging.
    """
    for name in (app.name, *_SERVERS):
        logging.getLogger(name).addFilter(_HASHED_IDS)
