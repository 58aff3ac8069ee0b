"""A lab with Socket.IO events of its own: four switches on the page, and four lamps on the board.

labkit's own sockets (for the ready page) stand at another path, so the two don't meet.
"""

import threading

from flask import Flask, render_template, url_for
from flask_socketio import SocketIO, emit

from labkit import WebLab, requires_active, socket_requires_active, weblab_user

LAMPS = (1, 2, 3, 4)

app = Flask(__name__)
app.config.update(WEBLAB_USERNAME="rlms", WEBLAB_PASSWORD="secret", SECRET_KEY="replace me")
socketio = SocketIO(app, async_mode="threading", transports=["websocket"])  # needs neither eventlet nor gevent
weblab = WebLab(app)
one_at_a_time = threading.Lock()  # events have threads of their own, and must not read each other's answers


@weblab.initial_url
def initial_url():
    return url_for("index")


@app.get("/")
@requires_active
def index():
    return render_template("index.html", lamps=LAMPS)


@socketio.on("connect")
@socket_requires_active  # who has no session is disconnected, and the function does not run
def connect(auth=None):
    for lamp in LAMPS:
        emit("lamp", {"lamp": lamp, "on": ask_board(f"led {lamp}") == f"led {lamp} is on"})


@socketio.on("switch")
@socket_requires_active  # asked anew at each event: a page that stayed open has no power over the next student's board
def switch(message):
    lamp, on = int(message["lamp"]), bool(message["on"])
    app.logger.info("lamp %d is switched %s", lamp, "on" if on else "off")
    answer = ask_board(f"led {lamp} {'on' if on else 'off'}")
    emit("lamp", {"lamp": lamp, "on": answer == f"led {lamp} is on"})  # what the board says, not what was wished


@socketio.on("still here")
@socket_requires_active  # counts as a sign of life, as every event does that is guarded like this
def still_here():
    return weblab_user.time_left


def ask_board(line):
    with one_at_a_time:
        console = weblab.devices["console"]
        console.flush()
        console.write(line.encode() + b"\r")
        return console.read_until(b"\r\n> ").decode().splitlines()[-2]  # the last line is the next prompt
