"""A lab whose board is prepared before a student is let in, and reported on when the student has gone.

Both are tasks: they run in the loop, whichever web process has the student. on_start and on_dispose wait for them.
"""

import os
from datetime import UTC, datetime
from pathlib import Path

from flask import Flask, redirect, render_template, url_for
from werkzeug.utils import secure_filename

from labkit import WebLab, WebLabError, logout, requires_active, requires_login, weblab_user

app = Flask(__name__)
app.config.update(WEBLAB_USERNAME="rlms", WEBLAB_PASSWORD="secret", SECRET_KEY="replace me")
weblab = WebLab(app)
REPORTS = Path(app.instance_path) / "reports"
KEPT = 100


@weblab.on_start
def start(client_data, server_data):
    task = prepare.run_sync(client_data.get("pattern", "1010"), timeout=30)
    if not task.done:  # then nobody is let in, and the RLMS is told why
        raise WebLabError(f"The board could not be prepared: {task.error or 'it took too long'}")
    return {"prepared": task.result, "let_in_by": os.getpid()}


@weblab.task()
def prepare(pattern):
    """Put the lamps into the position in which the exercise begins."""
    for lamp, wanted in enumerate(pattern, start=1):
        ask_board(f"led {lamp} {'on' if wanted == '1' else 'off'}")
    return {"lamps": lamps(), "process": os.getpid()}


@weblab.on_dispose
def dispose():  # the session is over and the student is out, but the board is still this session's
    if "prepared" not in weblab_user.data:  # on_start has failed, so nobody was here
        return
    task = write_report.run_sync(timeout=30)
    weblab_user.data["report"] = task.result if task.done else "The report could not be written."
    drop_old_reports.delay()  # need not be waited for here: the ending waits for it


@weblab.task()
def write_report():
    now = datetime.now(UTC)
    began = weblab_user.data["prepared"]["lamps"]
    report = f"{weblab_user.username}, {now:%Y-%m-%d %H:%M} UTC\nbegan with {began}\nleft     {lamps()}\n"
    REPORTS.mkdir(parents=True, exist_ok=True)
    name = secure_filename(f"{now:%Y%m%d-%H%M%S-%f}-{weblab_user.username}.txt")  # a name may hold anything
    (REPORTS / name).write_text(report)
    return report


@weblab.task()
def drop_old_reports():
    for file in sorted(REPORTS.glob("*.txt"))[:-KEPT]:
        file.unlink(missing_ok=True)


def lamps():
    return "".join("1" if ask_board(f"led {lamp}").endswith("on") else "0" for lamp in (1, 2, 3, 4))


def ask_board(line):
    console = weblab.devices["console"]
    console.flush()
    console.write(b"\x15" + line.encode() + b"\r")  # Ctrl-U first, for what is half typed in the terminal
    return console.read_until(b"\r\n> ").decode().splitlines()[-2]  # the last line is the next prompt


@weblab.initial_url
def initial_url():
    return url_for("index")


@app.get("/")
@requires_login  # also after the end: then it shows the report
def index():
    return render_template("index.html", data=weblab_user.data)


@app.post("/finish")
@requires_active
def finish():
    logout()
    return redirect(url_for("index"))
