"""A lab that runs as services: gunicorn serves it with four workers, and `labkit loop` has the boards and the tasks.

Its page shows which process did what.
"""

import os

from flask import Flask, render_template, url_for

from labkit import WebLab, requires_active, requires_login, weblab_user

app = Flask(__name__)
app.config.update(WEBLAB_USERNAME="rlms", WEBLAB_PASSWORD="secret", SECRET_KEY="replace me")
# Whoever loads this file to serve pages does nothing else: no board is opened there, and no task runs.
app.config["WEBLAB_NO_THREAD"] = True
# All processes need the same store. On one machine that is the lab's own, in instance/, as long as nothing is said
# here. With a Redis or Valkey of yours they may be on several machines.
# app.config["WEBLAB_REDIS_URL"] = "redis://127.0.0.1:6379/0"
weblab = WebLab(app)


@weblab.on_start
def start(client_data, server_data):  # in the worker that got the RLMS's request
    return {"let_in_by": os.getpid()}


@weblab.task()
def measure():  # in the loop
    console = weblab.devices["console"]
    console.flush()
    console.write(b"temp\r")
    celsius = float(console.read_until(b" C\r\n").split()[-2])  # temp is 24.1 C
    return {"celsius": celsius, "process": os.getpid()}


@weblab.on_dispose
def dispose():  # in the loop
    weblab_user.data["ended_by"] = os.getpid()


@weblab.initial_url
def initial_url():
    return url_for("index")


@app.get("/")
@requires_login  # also after the end, to show where on_dispose ran
def index():
    return render_template("index.html")


@app.get("/facts")
@requires_login
def facts():
    task = weblab.get_task(measure)  # the newest one; whichever worker submitted it
    measured = task.result if task is not None else None
    return {"active": weblab_user.active, "worker": os.getpid(), "measured": measured, **weblab_user.data}


@app.post("/measure")
@requires_active
def start_measuring():
    measure.delay()
    return facts()
