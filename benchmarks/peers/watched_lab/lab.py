"""A lab whose pages are watched: what the measures of serial ports, cameras and browsers run. See `watched.py`."""

from __future__ import annotations

import os
from pathlib import Path

from flask import Flask, url_for

from labkit import WebLab

FOLDER = Path(os.environ["BENCH_LAB_FOLDER"])

app = Flask("watched", root_path=str(FOLDER), instance_path=str(FOLDER / "instance"))
app.config.update(
    SECRET_KEY="bench", WEBLAB_USERNAME="bench", WEBLAB_PASSWORD="bench", WEBLAB_TIMEOUT=0,
    WEBLAB_REDIS_URL=os.environ["STORE_URL"], LABKIT_ACQUIRE=any((FOLDER / "devices").iterdir()),
    LABKIT_MOST_REQUESTS=0, LABKIT_MOST_SOCKETS=0, LABKIT_MOST_EVENTS=0,  # one session has all the viewers here
)  # fmt: skip
weblab = WebLab(app)


@weblab.initial_url
def initial_url() -> str:
    return url_for("labkit.page")
