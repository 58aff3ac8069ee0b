"""A lab's own Socket.IO server, and labkit's: neither is in the other's way."""

from __future__ import annotations

import logging
import threading
from typing import Any

import flask
import flask_socketio
import pytest

from labkit.web.sockets import LabSockets
from tests.store.feed_bench import FEED, FeedBench, wait_until
from tests.store.feed_bench import bench as bench
from tests.web.socket_lab import Browser, SocketLab

WHERE = {"device": "bench-1/console", "feed": FEED}


def own_socketio(app: flask.Flask) -> flask_socketio.SocketIO:
    """What a lab does that has a Socket.IO of its own."""
    own = flask_socketio.SocketIO(app, async_mode="threading")

    def greet(name: str) -> str:
        flask_socketio.emit("greeted", {"name": name})  # finds its server by app.extensions
        return f"hello {name}"

    own.on_event("greet", greet)
    return own


@pytest.mark.parametrize("order", ["before", "after"])
def test_a_labs_own_socketio_works_beside(bench: FeedBench, order: str) -> None:
    session, fence = bench.start()
    made: list[Any] = []
    with SocketLab(bench, **{order: lambda app: made.append(own_socketio(app))}) as lab:  # type: ignore[arg-type]
        assert lab.app.extensions["socketio"] is made[0]
        browser = lab.enter(session)
        browser.ask("subscribe", {**WHERE, "cursor": None})
        own = Browser(lab.url, "", path="socket.io")
        own.connect()
        assert own.ask("greet", "lab") == "hello lab"
        wait_until(lambda: own.told("greeted") == [{"name": "lab"}])
        bench.write(fence, b"abc", 3)
        wait_until(lambda: browser.bytes() == b"abc")
        assert browser.told("greeted") == []
        own.close()


def test_making_sockets_leaves_no_trace_but_its_path(caplog: pytest.LogCaptureFixture) -> None:
    app = flask.Flask("lab")
    before = set(threading.enumerate())
    with caplog.at_level(logging.DEBUG):
        sockets = LabSockets(app, guard=lambda: None, call=id, logout=id, make_relay=id, sort=id)  # type: ignore[arg-type]
    assert "socketio" not in app.extensions
    assert not [thread for thread in set(threading.enumerate()) - before if thread.name == "relay"]
    sockets.close()
