"""A lab with a measurement that takes long: it runs in the background, says how far it is, and can be stopped.

Four lamps are switched on one after another, and the board's thermometer is read all the while.
"""

import time

from flask import Flask, render_template, url_for

from labkit import (
    ReservationLostError,
    WebLab,
    current_task,
    current_task_stopping,
    requires_active,
    requires_login,
    weblab_user,
)

READINGS = 40

app = Flask(__name__)
app.config.update(WEBLAB_USERNAME="rlms", WEBLAB_PASSWORD="secret", SECRET_KEY="replace me")
weblab = WebLab(app)


@weblab.task(unique="user", timeout=60)  # one at a time in each session, and none for longer than 60 seconds
def measure():
    readings = []
    for number in range(READINGS):
        if current_task_stopping:  # by the Stop button, because the session is over, or because the time is
            break
        try:
            if number % 10 == 0:
                weblab.devices["console"].write(f"led {number // 10 + 1} on\r".encode())
            readings.append(read_temperature())
        except ReservationLostError:  # the session ended in this moment, and the board is not ours any more
            break
        part = (number + 1) / READINGS
        current_task.data.update(part=part, readings=readings)
        current_task.store()  # for this lab's own page ...
        current_task.progress(part, f"{readings[-1]} °C")  # ... and for labkit's ready page
        time.sleep(0.25)
    current_task.log(f"{len(readings)} of {READINGS} readings")
    return readings


def read_temperature():
    console = weblab.devices["console"]
    console.flush()
    console.write(b"\x15temp\r")  # Ctrl-U first, for what somebody may have half typed in the terminal
    return float(console.read_until(b" C\r\n").split()[-2])  # temp is 24.1 C


@weblab.initial_url
def initial_url():
    return url_for("index")


@app.get("/")
@requires_login  # also after the end of the session: then the page only shows what was measured
def index():
    return render_template("index.html")


@app.post("/measure")
@requires_active
def start():
    task = measure.delay()
    if not task.failed:  # unique: a second one, while one runs, has failed at once
        weblab_user.data["task"] = task.task_id
    return progress()


@app.get("/progress")
@requires_login
def progress():
    task = weblab.get_task(weblab_user.data.get("task", ""))
    shown = {"active": weblab_user.active, "status": None, "part": 0, "readings": []}
    return shown if task is None else shown | {"status": task.status, "error": task.error, **task.data}


@app.post("/stop")
@requires_active
def stop():
    task = weblab.get_running_task(measure)
    if task is not None:
        task.stop()  # asks; the task itself decides when
    return progress()
