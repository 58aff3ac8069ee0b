"""A lab with eight devices that echo, and a task that calls one. `labkit loop` runs it; `labkit_calls.py` calls."""

from __future__ import annotations

import os
import time

from flask import Flask

from labkit import WebLab

app = Flask(__name__, instance_path=os.environ["LAB_INSTANCE"])
app.config.update(
    SECRET_KEY="bench",
    WEBLAB_USERNAME="bench",
    WEBLAB_PASSWORD="bench",
    WEBLAB_REDIS_URL=os.environ["STORE_URL"],
    WEBLAB_REDIS_BASE=os.path.basename(os.environ["LAB_INSTANCE"]),
    WEBLAB_TIMEOUT=0,
)
weblab = WebLab(app)


@weblab.initial_url
def initial_url() -> str:
    return "/"


@weblab.task()
def call(count: int) -> list[float]:
    """Call a device so often from the process that has it. Returns what each took beyond the driver's own time."""
    device, beyond = weblab.devices["echo-1"], []
    for _ in range(count):
        began = time.perf_counter()
        entered, left = device.clocked("word")
        beyond.append(time.perf_counter() - began - (left - entered))
    return beyond
