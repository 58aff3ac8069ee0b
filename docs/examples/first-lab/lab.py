"""A lab with one board: a page with its terminal, and a thermometer."""

from flask import Flask, url_for

from labkit import WebLab, current_task, requires_active, weblab_user

app = Flask(__name__)
app.config.update(WEBLAB_USERNAME="rlms", WEBLAB_PASSWORD="secret", SECRET_KEY="replace me")
weblab = WebLab(app)


@weblab.initial_url
def initial_url():
    return url_for("labkit.page")


@weblab.on_start
def start(client_data, server_data):
    console = weblab.devices["console"]
    console.write(b"echo Welcome " + weblab_user.username.encode() + b"\r")
    return {"readings": 0}


@app.route("/temperature")
@requires_active
def temperature():
    weblab_user.data["readings"] += 1
    return {"celsius": read_temperature(), "readings": weblab_user.data["readings"]}


@weblab.task(unique="user")
def record(count):
    readings = []
    for number in range(count):
        if current_task.stopping:
            break
        readings.append(read_temperature())
        current_task.progress((number + 1) / count, "reading")
    return readings


@app.route("/record", methods=["POST"])
@requires_active
def start_recording():
    return {"task": record.delay(5).task_id}


@weblab.on_dispose
def dispose():
    weblab.devices["console"].write(b"halt\r")


def read_temperature():
    console = weblab.devices["console"]
    console.flush()
    console.write(b"temp\r")
    answer = console.read_until(b" C\r\n").decode()
    return float(answer.split()[-2])
