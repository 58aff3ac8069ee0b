"""Events and frames that no page would send, over labkit's own Socket.IO. For the fuzz.

An event is answered, by `ok` or by what is wrong with it; a frame that makes no sense ends its connection. Neither
changes anything, and none is worth an error in the log.
"""

from __future__ import annotations

import contextlib
import json
from typing import Any

import websocket
from hypothesis import strategies as st

from tests.fuzz.lab import FuzzedLab
from tests.toy import GUARD
from tests.web.malformed import LONE, nested
from tests.web.served import cookie
from tests.web.test_socket_gate import NONSENSE, PATH

KINDS = (
    "BadRequestError", "UnknownDeviceError", "CommandError", "CallExpiredError", "WebLabError", "DriverError",
    "NotStorableError", "InvalidArgumentsError",
)  # fmt: skip
NAMES = ["subscribe", "unsubscribe", "ack", "call", "poll"]
"""All events but `logout`, which ends the session."""

leaves = (
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats() | st.text(max_size=8)
    | st.sampled_from([
        LONE, "toy", "bench-1/toy", "bench-2/toy", "received", "state", "nothing", "write", "steps", "hang", "fail",
        "make_safe", "1:1", "0:0", "", "__class__", "x" * 3000, 10**400, nested(60), nested(250),
        {"_placeholder": True, "num": 0}, {"$bytes": "AAAA"}, {"$bytes": "?"}, "\x00", "bench-1/toy\n",
    ])
)  # fmt: skip
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
good = {
    "device": "bench-1/toy", "feed": "received", "cursor": "1:1", "id": 1, "command": "write", "args": [1],
    "kwargs": {},
}  # fmt: skip
mutated = st.dictionaries(st.sampled_from(sorted(good)), values, max_size=3).map(lambda some: {**good, **some})
events = st.tuples(
    st.sampled_from(NAMES) | st.text(max_size=6) | st.sampled_from(["connect_error", "message", "error", "*x", LONE]),
    st.lists(values | mutated | st.dictionaries(st.sampled_from(sorted(good)), values, max_size=4), max_size=2),
)
frames = st.lists(
    st.sampled_from([frame for frame in NONSENSE if len(frame) < 1000])
    | st.sampled_from(["3", "2", "6", "2probe", "40", "40/x", "41", "41/x", '42["poll"]', '421["poll"]', "430[]", "5"])
    | st.sampled_from(['451-["call",{"_placeholder":true,"num":0}]', '451-1["ack",{"_placeholder":true,"num":0}]'])
    | st.text(max_size=12)
    | st.text(max_size=12).map(lambda text: "42" + text)
    | st.binary(max_size=12)
    | values.map(lambda value: "42" + json.dumps(["call", value])),
    max_size=5,
)
visitors = st.sampled_from(["live", "live", "expired", "nobody", ""])
"""Who opens the socket."""


class Socket:
    """The page of the session that goes on, by frames: it is opened again where it was closed."""

    def __init__(self, lab: FuzzedLab, port: int):
        self._lab = lab
        self._port = port
        self._link: websocket.WebSocket | None = None

    def close(self) -> None:
        if self._link is not None:
            self._link.shutdown()
            self._link = None

    def ask(self, name: str, given: list[Any]) -> str:
        """Send an event. Returns 'ok', the kind of the error, or 'closed'; fails where it is another answer."""
        link = self._link or self._open()
        link.send("421" + json.dumps([name, *given]))
        try:
            answer = _answer(link)
        except websocket.WebSocketTimeoutException:
            raise
        except (websocket.WebSocketException, ConnectionError):
            self.close()
            return "closed"
        assert answer["ok"] or answer["error"]["kind"] in KINDS, answer
        assert len(json.dumps(answer)) < 20_000
        return "ok" if answer["ok"] else str(answer["error"]["kind"])

    def _open(self) -> websocket.WebSocket:
        self._link = link = opened(self._lab, self._port, self._lab.live)
        link.send("40")
        while not link.recv().startswith("40{"):
            pass
        return link


def opened(lab: FuzzedLab, port: int, session: str) -> websocket.WebSocket:
    """A WebSocket with a session in its cookie."""
    content = {"weblab_session_id": session} if session else {}
    return websocket.create_connection(f"ws://127.0.0.1:{port}{PATH}", cookie=cookie(lab.app, content), timeout=GUARD)


def throw(lab: FuzzedLab, port: int, visitor: str, content: list[str | bytes]) -> str:
    """Open a socket as somebody and send frames in any order. Returns how it ended."""
    session = {"live": lab.live, "expired": lab.expired}.get(visitor, visitor)
    link = opened(lab, port, session)
    with contextlib.closing(link.sock):
        try:
            for frame in content:
                code = websocket.ABNF.OPCODE_BINARY if isinstance(frame, bytes) else websocket.ABNF.OPCODE_TEXT
                link.send(frame.encode("utf-8", "surrogatepass") if isinstance(frame, str) else frame, code)
            link.send("1")  # it closes, as a page does
            while link.recv() != "":
                pass
        except websocket.WebSocketTimeoutException:
            raise
        except (websocket.WebSocketException, ConnectionError):
            return "cut"
    return "closed"


def _answer(link: websocket.WebSocket) -> dict[str, Any]:
    while True:
        frame = link.recv()
        if frame == "":
            raise ConnectionError
        if isinstance(frame, str) and frame.startswith("431"):
            return dict(json.loads(frame.removeprefix("431"))[0])
