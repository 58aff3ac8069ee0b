"""Pages: any number of Socket.IO clients on one thread, so lean that the lab is measured and not they. A program.

What a browser does is done: `permessage-deflate` is offered, pings are answered, what came is acknowledged. Asked for
one thing at a time, by JSON lines; see `Pages`. Uses nothing but Python's own library.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import selectors
import socket
import struct
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from typing import Any

ACK_BYTES, ACK_SECONDS = 32 * 1024, 0.1
"""A page acknowledges a feed of bytes when it has so much, or so long after the first that it did not."""


class Page:
    """One Socket.IO connection. state: '' (connecting), 'open', 'refused', 'closed'."""

    def __init__(self, port: int, cookie: str):
        self.state = ""
        self.why: Any = None
        self.handle: dict[str, Callable[[Page, Any], None]] = {}
        self.answers: dict[int, Callable[[Any], None]] = {}
        self._asked = 0
        self._in = bytearray()
        self._shaken = False
        self._inflate: Any = None
        self._whole: list[bytes] = []
        self._event: list[Any] | None = None
        self.socket = socket.create_connection(("127.0.0.1", port), 20)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        key = base64.b64encode(os.urandom(16)).decode()
        head = [
            "GET /labkit/socket.io/?EIO=4&transport=websocket HTTP/1.1", f"Host: 127.0.0.1:{port}",
            "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {key}",
            "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits", f"Cookie: {cookie}", "", "",
        ]  # fmt: skip
        self.socket.sendall("\r\n".join(head).encode())
        self.socket.setblocking(False)

    def tell(self, name: str, data: Any) -> None:
        self._send("42" + json.dumps([name, data]))

    def ask(self, name: str, data: Any, then: Callable[[Any], None]) -> None:
        self._asked += 1
        self.answers[self._asked] = then
        self._send(f"42{self._asked}" + json.dumps([name, data]))

    def read(self) -> bool:
        """Take in what has come. False: the connection is over."""
        try:
            data = self.socket.recv(1 << 20)
        except BlockingIOError:
            return True
        except OSError:
            data = b""
        if not data:
            self.state = self.state if self.state == "refused" else "closed"
            return False
        self._in += data
        if not self._shaken and not self._shake():
            return self.state != "refused"
        for opcode, payload in self._frames():
            self._take(opcode, payload)
        return self.state not in ("refused", "closed")

    def _shake(self) -> bool:
        end = self._in.find(b"\r\n\r\n")
        if end < 0:
            return False
        head = bytes(self._in[:end]).decode("latin-1")
        del self._in[: end + 4]
        if " 101 " not in head.split("\r\n")[0]:
            self.state, self.why = "refused", head.split("\r\n")[0]
            return False
        if "permessage-deflate" in head.lower():
            self._inflate = zlib.decompressobj(-15)
        self._shaken = True
        return True

    def _frames(self) -> Iterator[tuple[int, bytes]]:
        """Whole messages, and control frames."""
        while len(self._in) >= 2:
            first, length, start = self._in[0], self._in[1] & 0x7F, 2
            if length >= 126:
                start = 4 if length == 126 else 10
                if len(self._in) < start:
                    return
                length = int.from_bytes(self._in[2:start], "big")
            if len(self._in) < start + length:
                return
            payload = bytes(memoryview(self._in)[start : start + length])
            del self._in[: start + length]
            if first & 0x08:
                yield first & 0x0F, payload
                continue
            if first & 0x0F:
                self._kind, self._packed = first & 0x0F, bool(first & 0x40)
            self._whole.append(payload)
            if first & 0x80:
                payload = b"".join(self._whole)
                self._whole.clear()
                if self._packed:
                    payload = self._inflate.decompress(payload + b"\x00\x00\xff\xff")
                yield self._kind, payload

    def _take(self, opcode: int, payload: bytes) -> None:
        if opcode == 1:
            self._text(payload.decode())
        elif opcode == 2 and self._event is not None:
            (name, data), self._event = self._event, None
            self._hear(name, _filled(data, payload))
        elif opcode == 8:
            self.state = self.state if self.state == "refused" else "closed"

    def _text(self, text: str) -> None:
        if text == "2":
            self._send("3")
        elif text.startswith("0"):
            self._send("40")
        elif text.startswith("40"):
            self.state = "open"
        elif text.startswith("44"):
            self.state, self.why = "refused", json.loads(text[2:])
        elif text.startswith("42"):
            self._hear(*json.loads(text[text.index("[") :]))
        elif text.startswith("43"):
            start = text.index("[")
            self.answers.pop(int(text[2:start]))(json.loads(text[start:])[0])
        elif text.startswith("451-"):
            self._event = json.loads(text[4:])

    def _hear(self, name: str, data: Any) -> None:
        if name in self.handle:
            self.handle[name](self, data)

    def _send(self, text: str) -> None:
        payload = text.encode()
        mask = os.urandom(4)
        spread = (mask * (len(payload) // 4 + 1))[: len(payload)]
        masked = (int.from_bytes(payload, "big") ^ int.from_bytes(spread, "big")).to_bytes(len(payload), "big")
        size = bytes([0x80 | len(payload)]) if len(payload) < 126 else b"\xfe" + struct.pack(">H", len(payload))
        try:
            self.socket.send(b"\x81" + size + mask + masked)
        except OSError:
            self.state = "closed"


def _filled(data: Any, payload: bytes) -> Any:
    """An event's data with its one attachment in its place."""
    return {key: payload if isinstance(part, dict) and "_placeholder" in part else part for key, part in data.items()}


class Pages:
    """What this program can be asked for: each method is one question, its keywords what has to be said with it."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self.pages: list[Page] = []
        self._stopped: set[Page] = set()

    def open(self, ports: list[int], cookies: list[str], within: float) -> dict[str, Any]:
        """Open one more page for each cookie, on the ports in turn, and wait until each is open or refused."""
        opened = []
        for number, cookie in enumerate(cookies):
            opened.append(page := Page(ports[number % len(ports)], cookie))
            self._selector.register(page.socket, selectors.EVENT_READ, page)
            self._run(0, lambda: False)
        self._run(within, lambda: all(page.state for page in opened))
        self.pages += [page for page in opened if page.state == "open"]
        return {"states": [page.state for page in opened], "why": [page.why for page in opened if page.why]}

    def close(self) -> dict[str, Any]:
        """Close all pages."""
        for page in self.pages:
            self._leave(page)
            page.socket.close()
        self.pages.clear()
        return {}

    def subscribe(self, device: str, feed: str) -> dict[str, Any]:
        """Have every page listen to a feed."""
        answers: list[Any] = []
        for page in self.pages:
            page.ask("subscribe", {"device": device, "feed": feed, "cursor": None}, answers.append)
        self._run(20, lambda: len(answers) == len(self.pages))
        return {"ok": len(answers) == len(self.pages) and all(answer["ok"] for answer in answers)}

    def hear_bytes(self, device: str, feed: str, silence: float) -> dict[str, Any]:
        """Subscribe to a feed, and take in what is kept of it, until so long nothing comes; what comes then counts."""
        self._heard = [Heard(page) for page in self.pages]
        answer = self.subscribe(device, feed)
        began = time.monotonic()

        def still() -> bool:
            return time.monotonic() - max(began, *(heard.came for heard in self._heard)) > silence

        self._run(20, still, self._acknowledge)
        for heard in self._heard:
            heard.begin()
        return answer

    def bytes(self, until: int, within: float, line: int) -> dict[str, Any]:
        """Wait until each page has so many bytes. line: its length, whose ends are timed; 0: none."""
        for heard in self._heard:
            heard.line = line
        self._run(within, lambda: all(heard.count >= until for heard in self._heard), self._acknowledge)
        return {"pages": [heard.facts() for heard in self._heard]}

    def _acknowledge(self) -> None:
        for heard in self._heard:
            heard.acknowledge()

    def frames(self, seconds: float) -> dict[str, Any]:
        """Look at frames for so long, with each page that has not stopped: [captured, had come, bytes] of each."""
        seen: dict[Page, list[list[float]]] = {page: [] for page in self.pages if page not in self._stopped}
        for page in seen:
            page.handle["frame"] = _Looking(seen[page]).frame
        self._run(seconds, lambda: False)
        for page in seen:
            page.handle["frame"] = _acknowledge_frame
        return {"pages": list(seen.values())}

    def stop(self, count: int) -> dict[str, Any]:
        """Have the last pages read nothing any more, and stay."""
        for page in self.pages[-count:]:
            self._leave(page)
            self._stopped.add(page)
        return {}

    def echo(self, seconds: float, every: float) -> dict[str, Any]:
        """Have each page ask something that the lab answers, so often, and wait for all answers."""
        took: list[float] = []
        errors: list[Any] = []
        begun = time.monotonic()
        asked = 0
        total = int(seconds / every * len(self.pages))

        def ask() -> None:
            nonlocal asked
            while asked < total and time.monotonic() >= begun + asked * every / len(self.pages):
                self._ask_one(self.pages[asked % len(self.pages)], took, errors)
                asked += 1

        self._run(seconds + 10, lambda: len(took) + len(errors) >= total, ask)
        return {"seconds": took, "errors": len(errors), "asked": total, "closed": self._closed()}

    def _ask_one(self, page: Page, took: list[float], errors: list[Any]) -> None:
        sent = time.monotonic()

        def answered(answer: Any) -> None:
            took.append(time.monotonic() - sent)
            if not answer["ok"]:
                errors.append(answer)

        page.ask("poll", {}, answered)

    def _closed(self) -> int:
        return sum(page.state != "open" for page in self.pages)

    def _run(self, seconds: float, done: Callable[[], bool], act: Callable[[], None] | None = None) -> None:
        """Serve all pages until it is done, or so long."""
        ends = time.monotonic() + seconds
        while not done():
            if act is not None:
                act()
            left = ends - time.monotonic()
            for key, _ in self._selector.select(max(0.0, min(left, 0.002 if act else 0.5))):
                if not key.data.read():
                    self._leave(key.data)
            if left <= 0:
                return

    def _leave(self, page: Page) -> None:
        with contextlib.suppress(KeyError):
            self._selector.unregister(page.socket)


class Heard:
    """What one page has of a feed of bytes."""

    def __init__(self, page: Page):
        self._page = page
        self.line = 0
        self.came = 0.0
        self._last: Any = None
        self._since = 0.0
        self._waiting = 0
        self.begin()
        page.handle["feed"] = self._take

    def begin(self) -> None:
        """Forget what has come until now."""
        self.count = 0
        self._lost = 0
        self._messages = 0
        self._digest = hashlib.sha256()
        self._ends: list[float] = []

    def _take(self, _: Page, message: Any) -> None:
        data = message["data"]
        self.came = time.monotonic()
        self.count += len(data)
        self._lost += message["lost"]
        self._messages += 1
        self._digest.update(data)
        if self.line:
            self._ends += [self.came] * (self.count // self.line - len(self._ends))
        if not self._waiting:
            self._since = self.came
        self._waiting += len(data)
        self._last = {key: message[key] for key in ("device", "feed", "cursor")}
        if self._waiting >= ACK_BYTES:
            self._acknowledge()

    def acknowledge(self) -> None:
        if self._waiting and time.monotonic() - self._since >= ACK_SECONDS:
            self._acknowledge()

    def _acknowledge(self) -> None:
        self._waiting = 0
        self._page.tell("ack", self._last)

    def facts(self) -> dict[str, Any]:
        return {
            "count": self.count, "lost": self._lost, "sha256": self._digest.hexdigest(), "ends": self._ends,
            "messages": self._messages,
        }  # fmt: skip


class _Looking:
    """Notes each frame of one page: when it was captured, when it had come."""

    def __init__(self, times: list[list[float]]):
        self._times = times

    def frame(self, page: Page, message: Any) -> None:
        self._times.append([message["captured"], time.time(), len(message["data"])])
        _acknowledge_frame(page, message)


def _acknowledge_frame(page: Page, message: Any) -> None:
    page.tell("ack", {key: message[key] for key in ("device", "feed", "id")})


def main() -> None:
    pages = Pages()
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        answer = getattr(pages, asked.pop("do"))(**asked)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
