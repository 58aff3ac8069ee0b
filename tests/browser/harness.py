"""A lab of pretence for the pages: real templates, scripts and sockets, and a board that is a few lines of Python.

For the tests of this folder, and to look at the pages: `python -m tests.browser.harness`, then open what it prints.
The real way, with a store, a host and a tty, is in tests/flows and in the other browser tests.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flask import Blueprint, Flask, Response, abort, render_template, request, send_from_directory
from flask_socketio import ConnectionRefusedError as Refused
from flask_socketio import SocketIO
from werkzeug.serving import BaseWSGIServer, make_server

import labkit.web
import labkit_plugins.serial
from labkit.web.headers import POLICY

WEB = Path(labkit.web.__file__).parent
SERIAL_PANEL = Path(labkit_plugins.serial.__file__).parent / "panel.js"
PREFIX = "/mylab"  # pages must not believe that labkit stands at the root
BROKEN_PANEL = "export default function mount() { throw new Error('out of paint'); }"
CONSOLE_COMMANDS = {
    "write": {"panel": True, "help": "Send bytes."},
    "send_break": {"panel": True, "help": "Send a break."},
    "reset": {"panel": True, "help": "Reset the board."},
    "read_until": {"panel": False},
}
MOTOR_COMMANDS: dict[str, dict[str, Any]] = {
    "turn": {
        "panel": True,
        "help": "Turn the motor.",
        "schema": {
            "properties": {
                "degrees": {"type": "number", "title": "Degrees", "minimum": -360, "maximum": 360},
                "direction": {"enum": ["left", "right"], "title": "Direction", "default": "right"},
                "hold": {"type": "boolean", "title": "Hold at the end", "default": False},
            },
            "required": ["degrees"],
        },
    }
}


class PretendedLab:
    """One session, its feed, and switches to make it go wrong. `url` is where its pages are."""

    def __init__(self, port: int = 0):
        self.state: dict[str, Any] = {"state": "active", "reason": ""}
        self.ends = time.time() + 1200
        self.length = 1800.0
        self.benches: list[str] = ["Arduino bench 1"]
        self.tasks: list[dict[str, Any]] = []
        self.title = "Arduino lab"
        self.back = "/course"
        self.kept = bytearray()  # what the console has said; a cursor is an offset in it
        self.dropped = 0  # bytes at the front that are gone for who asks later
        self.written: list[bytes] = []
        self.typed = b""
        self.events: list[tuple[str, Any]] = []
        self.fail_calls: dict[str, str] | None = None
        self.before_call: Callable[[], object] = lambda: None
        self.before_poll: Callable[[], object] = lambda: None
        self.extra_devices: list[dict[str, Any]] = []
        self.console: dict[str, str] = {"condition": "ok", "reason": ""}
        self.states: dict[str, Any] = {}  # state feeds, of any device: the last value
        self.panels = {"broken": BROKEN_PANEL}
        self.watching: set[str] = set()
        self.refuse_feeds = ""  # the kind of the error that a subscription is answered with; empty: it is not
        self.refuse = ""  # why connections are refused; empty: they are not
        self.app = self._make_app()
        self.sockets = SocketIO(
            self.app, path="labkit/socket.io", async_mode="threading", async_handlers=False, transports=["websocket"]
        )
        self._listen()
        self.server: BaseWSGIServer = make_server("127.0.0.1", port, self._under_prefix, threaded=True)
        self.server.daemon_threads = True  # type: ignore[attr-defined]
        self.thread = threading.Thread(target=self.server.serve_forever, name="pretended-lab", daemon=True)
        self.url = f"http://127.0.0.1:{self.server.port}{PREFIX}"

    def __enter__(self) -> PretendedLab:
        self.thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.break_connections()
        self.server.shutdown()
        self.thread.join(10)
        self.server.server_close()

    # What a test does to the lab

    def say(self, text: str | bytes) -> None:
        """The board says something."""
        start = len(self.kept)
        self.kept += text.encode() if isinstance(text, str) else text
        for sid in list(self.watching):
            self._send(sid, start)

    def end(self, reason: str) -> None:
        self.state = {"state": "ending", "reason": reason}
        self.sockets.emit("session", self.session())

    def show(self, device: str, jpeg: bytes, number: int) -> None:
        """A camera gives a frame."""
        frame = {"device": device, "feed": "frames", "id": number, "captured": 1_700_000_000.5 + number, "data": jpeg}
        self.sockets.emit("frame", {**frame, "width": 64, "height": 48})

    def extend(self, left: float) -> None:
        """Set how many seconds are left."""
        self.ends = time.time() + left
        self.sockets.emit("session", self.session())

    def set_condition(self, condition: str, reason: str = "") -> None:
        self.console = {"condition": condition, "reason": reason}
        self.sockets.emit("device", {"device": "bench-1/console", "hold": "reserved", **self.console})

    def tell_task(self, **news: Any) -> None:
        self.sockets.emit(
            "task", {"task": "t1", "name": "program", "status": "running", "progress": None, "log": [], **news}
        )

    def break_connections(self) -> None:
        """Every socket breaks, as by a network that goes away."""
        engine = self.sockets.server.eio
        for socket in list(engine.sockets.values()):
            socket.close(wait=False)  # engine.disconnect() waits without a limit for a client that is just leaving
        self.watching.clear()

    def session(self) -> dict[str, Any]:
        now = time.time()
        left = max(0.0, self.ends - now)
        return {**self.state, "now": now, "started": self.ends - self.length, "max_date": self.ends, "time_left": left}

    # The pages

    def page(self) -> dict[str, Any]:
        console = {
            "name": "bench-1/console",
            "title": "Arduino Uno",
            "kind": "serial",
            "panel": f"{PREFIX}/labkit/panels/serial.js",
            "commands": CONSOLE_COMMANDS,
            "feeds": {"received": {"type": "bytes"}},
            **self.console,
        }
        urls = {name: f"{PREFIX}/labkit/{name}" for name in ("ended", "static")}
        return {
            "title": self.title,
            "username": "Ada Lovelace",
            "benches": self.benches,
            "session": self.session(),
            "back": self.back,
            "devices": [console, *self.extra_devices],
            "urls": {"socket": f"{PREFIX}/labkit/socket.io", "ended": urls["ended"], "static": urls["static"] + "/"},
        }

    def _make_app(self) -> Flask:
        app = Flask(__name__)
        blueprint = Blueprint(
            "labkit", __name__, url_prefix="/labkit", static_folder=str(WEB / "static"),
            template_folder=str(WEB / "templates"),
        )  # fmt: skip
        blueprint.add_url_rule(
            "/page", view_func=lambda: render_template("labkit/page.html", page=self.page()), endpoint="page"
        )
        blueprint.add_url_rule("/panels/<name>.js", view_func=self._panel, endpoint="panel")
        blueprint.add_url_rule("/show/<name>", view_func=self._show, endpoint="show", methods=["GET", "POST"])
        app.register_blueprint(blueprint)
        app.after_request(with_policy)
        return app

    def _panel(self, name: str) -> Response:
        if name in self.panels:
            return Response(self.panels[name], mimetype="text/javascript")
        return send_from_directory(SERIAL_PANEL.parent, SERIAL_PANEL.name)

    def _show(self, name: str) -> str:
        """Any other page, with what the query says."""
        given: dict[str, Any] = {"title": self.title, **request.args}
        for number in ("ended_at", "until", "seconds"):
            if number in given:
                given[number] = float(given[number])
        if name not in {"ended", "refused", "message", "demo"}:
            abort(404)
        return render_template(f"labkit/{name}.html", **given)

    def _under_prefix(self, environ: dict[str, Any], start_response: Any) -> Any:
        if environ["PATH_INFO"].startswith(PREFIX):
            environ["SCRIPT_NAME"] = PREFIX
            environ["PATH_INFO"] = environ["PATH_INFO"].removeprefix(PREFIX)
        return self.app.wsgi_app(environ, start_response)

    # The socket

    def _listen(self) -> None:
        for event in ("connect", "disconnect", "subscribe", "unsubscribe", "ack", "call", "poll", "logout"):
            self.sockets.on_event(event, getattr(self, f"_on_{event}"))

    def _on_connect(self, auth: object = None) -> None:
        if self.refuse:
            raise Refused("Not now.", {"reason": self.refuse})
        if self.state["state"] != "active":
            raise Refused("The session is over.", {"reason": self.state["reason"]})
        sid = request.sid  # type: ignore[attr-defined]
        console = {"device": "bench-1/console", **self.console}
        self.sockets.emit("session", {**self.session(), "tasks": self.tasks, "devices": [console]}, to=sid)

    def _on_disconnect(self, reason: object = None) -> None:
        self.watching.discard(request.sid)  # type: ignore[attr-defined]

    def _on_subscribe(self, message: dict[str, Any]) -> dict[str, Any]:
        self.events.append(("subscribe", message))
        if self.refuse_feeds:
            return {"ok": False, "error": {"kind": self.refuse_feeds, "message": "Not at this moment."}}
        sid = request.sid  # type: ignore[attr-defined]
        if message["feed"] == "frames":
            return {"ok": True}
        if message["feed"] in self.states:
            told = {"device": message["device"], "feed": message["feed"], "cursor": "e:1", "lost": 0}
            self.sockets.emit("feed", {**told, "data": self.states[message["feed"]]}, to=sid)
            return {"ok": True}
        self.watching.add(sid)
        self._send(sid, int((message["cursor"] or "e:0").partition(":")[2]))
        return {"ok": True}

    def _send(self, sid: str, start: int) -> None:
        first = max(start, self.dropped)
        if first < len(self.kept):
            data = bytes(self.kept[first:])
            told = {"device": "bench-1/console", "feed": "received", "cursor": f"e:{len(self.kept)}", "data": data}
            self.sockets.emit("feed", {**told, "lost": first - start}, to=sid)

    def _on_unsubscribe(self, message: dict[str, Any]) -> None:
        self.events.append(("unsubscribe", message))

    def _on_ack(self, message: dict[str, Any]) -> None:
        self.events.append(("ack", message))

    def _on_call(self, message: dict[str, Any]) -> dict[str, Any]:
        self.events.append(("call", message))
        self.before_call()
        if self.fail_calls is not None:
            return {"ok": False, "error": self.fail_calls}
        if message["command"] == "write":
            return {"ok": True, "result": self._write(message["args"][0])}
        if message["command"] == "reset":
            self.say("\r\n\x1b[1mdemo board 1.0\x1b[0m  type help\r\n> ")
        return {"ok": True, "result": None}

    def _write(self, data: bytes) -> int:
        self.written.append(data)
        self.say(data.replace(b"\r", b"\r\n"))
        *lines, self.typed = (self.typed + data).split(b"\r")
        for line in lines:
            self.say(answer(line.decode("utf-8", "replace")) + "> ")
        return len(data)

    def _on_poll(self, *nothing: object) -> dict[str, Any]:
        self.events.append(("poll", None))
        self.before_poll()
        return {"ok": True, "time_left": self.session()["time_left"]}

    def _on_logout(self, *nothing: object) -> dict[str, Any]:
        self.events.append(("logout", None))
        self.state = {"state": "ending", "reason": "logout"}
        return {"ok": True}


def answer(line: str) -> str:
    """What the board says to a line."""
    match line.split():
        case ["help"]:
            return (
                "help              this text\r\nled N on|off      switch a LED\r\ntemp              read the sensor\r\n"
            )
        case ["led", number, ("on" | "off") as level]:
            return f"\x1b[32mled {number} is {level}\x1b[0m\r\n"
        case ["temp"]:
            return "temp 21.4 C\r\n"
        case []:
            return ""
    return f"\x1b[31munknown command: {line}\x1b[0m\r\n"


def with_policy(response: Response) -> Response:
    if response.direct_passthrough:  # a file: read now, since a page that is left in the middle would leave it open
        response.direct_passthrough = False
        data = response.get_data()
        response.close()
        response.set_data(data)
    response.headers["Content-Security-Policy"] = POLICY
    response.headers["Cache-Control"] = "no-store"
    return response


def main() -> None:
    with PretendedLab(int(sys.argv[1]) if len(sys.argv) > 1 else 0) as lab:
        lab.say("\x1b[1mdemo board 1.0\x1b[0m  type help\r\n> ")
        print(f"{lab.url}/labkit/page\n{lab.url}/labkit/show/demo?seconds=120\nCtrl-C ends it.")
        lab.thread.join()


if __name__ == "__main__":
    main()
