"""The lab of the flow tests, as loud as it can be: everything that it and its libraries log, from DEBUG on.

Runs in real processes. The log of each goes to a file `loud-<process>.log` in the lab's folder.
"""

from __future__ import annotations

import logging
import os
from typing import Any

from tests.flows.lab_app import FOLDER, app, weblab

LOGGERS = (
    "labkit", "flowlab", "werkzeug", "gunicorn.error", "gunicorn.access", "engineio", "socketio", "redis", "asyncio",
    "urllib3", "wsproto", "simple_websocket", "flask_socketio",
)  # fmt: skip

_loud = logging.FileHandler(FOLDER / f"loud-{os.getpid()}.log")
for name in LOGGERS:
    logging.getLogger(name).addHandler(_loud)
    logging.getLogger(name).setLevel(logging.DEBUG)

app.config["PROPAGATE_EXCEPTIONS"] = False
_first = weblab.lab.hooks.initial_url


def _may_fail() -> Any:
    if (FOLDER / "broken").exists():
        raise RuntimeError("this initial_url raises")
    return _first() if _first is not None else None


weblab.lab.hooks.initial_url = _may_fail
