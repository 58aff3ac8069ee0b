"""A lab that has one task, and nothing else: what `labkit loop --threads 2` runs, and `labkit_tasks.py` submits."""

from __future__ import annotations

import os

from flask import Flask

from labkit import WebLab

app = Flask(__name__)
app.config.update(
    SECRET_KEY="bench", WEBLAB_USERNAME="bench", WEBLAB_PASSWORD="bench", WEBLAB_REDIS_URL=os.environ["STORE_URL"]
)
weblab = WebLab(app)


@weblab.initial_url
def initial_url() -> str:
    return "/"


@weblab.task()
def noop() -> int:
    return 1
