"""The lab of the chaos runs: each line that it sends to a board names its session and fence, and is announced before.

Runs in real processes. What it does it writes to `acts.log`, one JSON line for each act with the process and the
monotonic time. The judges hold that against what arrived at the far ends of the ttys. Hooks and tasks fail in the ways
that the RLMS's client data tells them to.
"""

from __future__ import annotations

import json
import mmap
import os
import secrets
import struct
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

from flask import Flask, jsonify, request, url_for

from labkit import WebLab, current_task, current_task_stopping, logout, requires_active, weblab_user
from labkit.context import require_session
from tests.chaos.lines import line_of

FOLDER = Path(os.environ["FLOW_FOLDER"])


def follow_wall_clock(path: Path) -> None:
    """Add to this process's wall clock what stands in a file: no root is needed to have it jump."""
    with open(path, "rb") as file:
        offset = mmap.mmap(file.fileno(), 8, access=mmap.ACCESS_READ)
    real = time.time

    def shifted() -> float:
        return real() + float(struct.unpack("d", offset[:8])[0])

    time.time = shifted


if "FLOW_NAME" in os.environ and (FOLDER / f"clock-{os.environ['FLOW_NAME']}").exists():
    follow_wall_clock(FOLDER / f"clock-{os.environ['FLOW_NAME']}")

app = Flask("chaoslab", root_path=str(FOLDER), instance_path=str(FOLDER / "instance"))
app.config.update(WEBLAB_USERNAME="rlms", WEBLAB_PASSWORD="secret", SECRET_KEY="for tests only", TESTING=False)
app.config.update(json.loads(os.environ.get("FLOW_SETTINGS", "{}")))
weblab = WebLab(app)
_log = os.open(FOLDER / "acts.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)


def note(what: str, **facts: Any) -> None:
    """Write one line to the log, whole."""
    line = json.dumps({"what": what, "pid": os.getpid(), "at": time.monotonic(), **facts})
    os.write(_log, line.encode() + b"\n")


def send_line(purpose: str, size: int = 0, device: str = "") -> None:
    """Announce a line, send it, and note how that ended."""
    bound, token = require_session(), secrets.token_hex(6)
    names = [name for name in weblab.devices if name.endswith("/console")]
    if not names:
        note("no device", session=bound.session_id, purpose=purpose)
        return
    proxy = weblab.devices[device or names[0]]
    bench = proxy.name.partition("/")[0]
    note(
        "line", token=token, session=bound.session_id, bench=bench, fence=bound.fences[bench], purpose=purpose,
    )  # fmt: skip
    try:
        proxy.write(line_of(token, size))
    except BaseException as error:
        note("line failed", token=token, error=type(error).__name__, message=str(error))
        raise
    note("line done", token=token)


def misbehave(how: str, where: str, order: str) -> Any:
    """Fail in one way, and note it before, with the order to do so. '' and 'fine': not at all."""
    if how not in ("", "fine"):
        note("misbehaves", kind=f"{where}-{how}", order=order)
    if how == "raise":
        raise RuntimeError(f"this {where} raises")
    if how == "hang":
        hang(float((FOLDER / "hang-seconds").read_text()))
    if how == "exit-thread":
        sys.exit(3)
    if how == "exit-process":
        exit_once(where)
    return object() if how == "unstorable" else None


def hang(seconds: float) -> None:
    """Do not come back, whoever asks."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(0.05)


def exit_once(where: str) -> None:
    """End this process at once; not again for the same session, or no process would be left to end it."""
    mark = FOLDER / "exits" / f"{where}-{require_session().session_id}"
    try:
        os.close(os.open(mark, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    except FileExistsError:
        return
    note("exit", where=where, session=require_session().session_id, part=os.environ.get("FLOW_NAME", ""))
    leave()


def leave() -> NoReturn:
    os._exit(9)


@weblab.initial_url
def initial_url() -> str:
    return url_for("labkit.page")


@weblab.on_start
def on_start(client_data: dict[str, Any], server_data: dict[str, Any]) -> Any:
    bound = require_session()
    note("on_start", session=bound.session_id, fences=bound.fences)
    send_line("start")
    failed = misbehave(client_data.get("on_start", ""), "on_start", client_data.get("order", ""))
    note("on_start done", session=bound.session_id)
    return failed or {"client": client_data}


@weblab.on_dispose
def on_dispose() -> None:
    bound = require_session()
    note("on_dispose", session=bound.session_id, fences=bound.fences)
    try:
        say_good_bye()
    except BaseException:
        note("on_dispose raised", session=bound.session_id)
        raise
    note("on_dispose done", session=bound.session_id)


def say_good_bye() -> None:
    told = weblab_user.data.get("client", {})
    failed = misbehave(told.get("on_dispose", ""), "on_dispose", told.get("order", ""))
    if failed is not None:
        weblab_user.data["unstorable"] = failed
    send_line("dispose")


@app.route("/line", methods=["POST"])
@requires_active
def line() -> Any:
    send_line("view", int(request.args.get("size", 0)))
    return jsonify(sent=True)


@app.route("/names")
@requires_active
def names() -> Any:
    return jsonify(list(weblab.devices))


@app.route("/deaf", methods=["POST"])
@requires_active
def deaf() -> Any:
    """A call that ignores its interruption: its thread is lost until it comes back."""
    note("misbehaves", kind="task-deaf", order=request.args.get("order", ""))
    weblab.devices["deaf"].within(1.0).hang(float(request.args["seconds"]))
    return jsonify(back=True)


@weblab.task()
def work(kind: str, order: str) -> Any:
    """Send three lines, and fail in one way after the first."""
    session, task = require_session().session_id, current_task.task_id
    note("task", task=task, session=session)
    send_line("task")
    failed = misbehave(kind, "task", order)
    for _ in range(2):
        if current_task_stopping:
            break
        send_line("task")
    note("task done", task=task, session=session)
    return failed


@app.route("/work", methods=["POST"])
@requires_active
def start_work() -> Any:
    task = work.delay(request.args.get("kind", "fine"), request.args.get("order", ""))
    note("submitted", task=task.task_id, session=require_session().session_id)
    return jsonify(id=task.task_id)


@app.route("/leave", methods=["POST"])
@requires_active
def leave_lab() -> Any:
    logout()
    return jsonify(left=True)
