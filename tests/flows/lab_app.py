"""The lab of the flow tests: an ordinary Flask app whose hooks do what the RLMS's client data tells them to.

Runs in real processes. What it does it writes to a log, one JSON line for each act, with the process and the
monotonic time, so that a test can hold it against what arrived at the far end of the ttys.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from flask import Flask, jsonify, request, url_for

from labkit import WebLab, current_task_stopping, requires_active, requires_login, weblab_user

FOLDER = Path(os.environ["FLOW_FOLDER"])
GUARD = 30.0


def note(what: str, **facts: Any) -> None:
    """Write one line to the log, whole."""
    line = json.dumps({"what": what, "pid": os.getpid(), "at": time.monotonic(), **facts})
    with open(FOLDER / "acts.log", "ab", buffering=0) as log:
        log.write(line.encode() + b"\n")


def wait_for(name: str, seconds: float = 60.0) -> None:
    """Wait until the test makes a file of this name; a test's own act, so a look every 10 ms is fine."""
    until = time.monotonic() + seconds
    while not (FOLDER / name).exists() and time.monotonic() < until:
        time.sleep(0.01)


def write_through(line: str, seconds: float = GUARD) -> None:
    """Write to the board, and wait until it has read that: making it safe drops what a busy board has not read."""
    bench = next(iter(weblab.devices)).partition("/")[0]
    record = FOLDER / f"record-{bench}"  # of another device than a board there is none
    before, until = received(record).count(line), time.monotonic() + seconds
    weblab.devices["console"].write(line.encode())
    while record.exists() and received(record).count(line) == before and time.monotonic() < until:
        time.sleep(0.01)


def received(record: Path) -> str:
    """What has reached a board, a character for each byte."""
    lines = record.read_text().splitlines(keepends=True) if record.exists() else []
    return "".join(json.loads(line).get("data", "") for line in lines if line.endswith("\n"))


app = Flask("flowlab", root_path=str(FOLDER), instance_path=str(FOLDER / "instance"))
app.config.update(WEBLAB_USERNAME="rlms", WEBLAB_PASSWORD="secret", SECRET_KEY="for tests only", TESTING=False)
app.config.update(json.loads(os.environ.get("FLOW_SETTINGS", "{}")))
weblab = WebLab(app)


def pause_at_steps() -> None:
    """Stand still after a step was recorded for which the test has made a file `pause-<step>`, until it is removed."""
    sessions = weblab.lab.sessions
    record_step = sessions.step

    def step(session_id: str, owner: str, fence: int | None, name: str) -> bool:
        mine = record_step(session_id, owner, fence, name)
        pause = FOLDER / f"pause-{name}-{os.environ.get('FLOW_NAME', '')}"
        if mine and pause.exists():
            note("paused", step=name)
            while pause.exists():
                time.sleep(0.01)
        return mine

    sessions.step = step  # type: ignore[method-assign]


if "FLOW_NAME" in os.environ:
    pause_at_steps()


@weblab.initial_url
def initial_url() -> str:
    return url_for("labkit.page")


@weblab.on_start
def on_start(client_data: dict[str, Any], server_data: dict[str, Any]) -> dict[str, Any]:
    note("on_start", user=weblab_user.username, session=weblab_user.session_id)
    if "acquire" in client_data:
        weblab.devices.acquire(**client_data["acquire"])
    if "start_file" in client_data:
        wait_for(client_data["start_file"])
    if client_data.get("write"):
        write_through(client_data["write"])
    if client_data.get("on_start") == "raise":
        raise RuntimeError("this on_start raises")
    if client_data.get("run_sync"):
        run_and_note("on_start")
    note("on_start done", user=weblab_user.username)
    return {"client": client_data}


@weblab.on_dispose
def on_dispose() -> None:
    note("on_dispose", user=weblab_user.username, session=weblab_user.session_id)
    if "FLOW_NAME" in os.environ and len(weblab.devices):
        for number in range(5):
            weblab.devices["console"].write(f"# {os.environ['FLOW_NAME']} {number}\r".encode())
    told = weblab_user.data.get("client", {})
    if told.get("on_dispose") == "raise":
        raise RuntimeError("this on_dispose raises")
    if told.get("on_dispose") == "hang":
        wait_for("never")
    if "dispose_file" in told:
        wait_for(told["dispose_file"])
    if told.get("run_sync"):
        run_and_note("on_dispose")
        say.delay("submitted in on_dispose")
    if len(weblab.devices):
        say_good_bye(told.get("dispose_write", "halt\r"), deaf="deaf" in told)
    note("on_dispose done", user=weblab_user.username)


def say_good_bye(line: str, deaf: bool) -> None:
    try:
        write_through(line, 0.0 if deaf else GUARD)
    except Exception as error:
        note("on_dispose failed", error=type(error).__name__, session=weblab_user.session_id)
        raise


@app.route("/about")
def about() -> str:
    """A page for everybody."""
    return "about this lab"


@app.route("/write", methods=["POST"])
@requires_active
def write() -> Any:
    return jsonify(written=weblab.devices["console"].write(request.get_data()))


@app.route("/ask", methods=["POST"])
@requires_active
def ask() -> Any:
    """Write a line and read until a text comes back, which may take long."""
    console = weblab.devices["console"]
    console.write(request.args["line"].encode() + b"\r")
    got = console.read_until(request.args["until"].encode(), timeout=float(request.args.get("timeout", 30)))
    return jsonify(got=got.decode("latin-1"))


@app.route("/hang", methods=["POST"])
@requires_active
def hang() -> Any:
    weblab.devices["stuck"].within(float(request.args.get("seconds", 2))).hang()
    return jsonify(hung=True)


@app.route("/me")
@requires_login
def me() -> Any:
    return jsonify(username=weblab_user.username, active=weblab_user.active)


@weblab.task(unique="user")
def drive(line: str, seconds: float) -> int:
    """Write the line again and again until the time is over, the task is asked to stop, or the device is gone."""
    note("drive")
    console, written, until = weblab.devices["console"], 0, time.monotonic() + seconds
    try:
        while time.monotonic() < until:
            console.write(line.encode() + b"\r")
            written += 1
            note("drove", stopping=bool(current_task_stopping))
            time.sleep(0.05)
    except Exception as error:
        note("drive failed", error=type(error).__name__, message=str(error))
        raise
    return written


@app.route("/drive", methods=["POST"])
@requires_active
def start_drive() -> Any:
    task = drive.delay(request.args["line"], float(request.args.get("seconds", 30)))
    return jsonify(id=task.task_id, status=task.status, error=task.error)


@weblab.task()
def say(line: str) -> int:
    """Write a line to the board, if the session has one. Returns the process that did it."""
    if len(weblab.devices):
        write_through(f"# {line}\r")
    note("said", line=line, user=weblab_user.username)
    return os.getpid()


def run_and_note(hook: str) -> None:
    task = say.run_sync(f"run_sync in {hook}")
    note("run_sync", hook=hook, status=task.status, result=task.result, error=task.error)


@weblab.task()
def report() -> str:
    return str(weblab_user.username)


@app.route("/report", methods=["POST"])
@requires_login
def show_report() -> Any:
    task = report.run_sync(timeout=30)
    return jsonify(status=task.status, result=task.result)


@app.route("/task/<task_id>")
@requires_login
def show_task(task_id: str) -> Any:
    task = weblab.get_task(task_id)
    return jsonify(None if task is None else {"status": task.status, "error": task.error, "result": task.result})
