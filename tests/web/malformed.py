"""What can come that makes no sense, and how a test sees that it changed nothing. For the tests of malformed input."""

from __future__ import annotations

import io
import json
import logging
import math
from collections.abc import Iterator
from typing import Any

import pytest
from werkzeug.test import EnvironBuilder, TestResponse, run_wsgi_app

from labkit.store.connection import record, text
from labkit.testing.store import StoreServer
from tests.small_lab import CREDENTIALS, SmallLab

BASE = "/weblab/sessions/"
WITH_BODY = ["", "nobody", "status/multiple"]
"""Paths below it to which something is posted."""

LENGTH, START, NAME = "priority.queue.slot.length", "priority.queue.slot.start", "request.username"
FACTS = {NAME: "ada", LENGTH: 60}
TEXTS = [
    NAME, "request.username.unique", "request.full_name", "request.locale",
    "request.experiment_id.experiment_name", "request.experiment_id.category_name",
]  # fmt: skip
DATES = [START, f"{START}.utc", f"{START}.timezone"]

DEEP = 100_000
LONE = "\ud800"
"""Half of a surrogate pair: JSON can say it, and it is no text."""

NO_OBJECTS: dict[str, bytes] = {
    "broken JSON": b"{",
    "two values": b"{} {}",
    "null": b"null",
    "list": b"[]",
    "text": b'"x"',
    "number": b"17",
    "true": b"true",
    "not UTF-8": b'{"a": "\xff"}',
    "a surrogate in UTF-8": b'{"a": "\xed\xa0\x80"}',
    "UTF-16": json.dumps({"server_initial_data": FACTS, "action": "delete", "session_ids": []}).encode("utf-16"),
    "UTF-32": json.dumps({"server_initial_data": FACTS, "action": "delete", "session_ids": []}).encode("utf-32"),
    "gzip": bytes.fromhex("1f8b080000000000000303") + b"\x00" * 8,
    "a form": b"client_initial_data=1&server_initial_data=2",
    "lists without end": b"[" * DEEP,
    "objects without end": b'{"a":' * DEEP,
    "lists within lists": b'{"a": ' + b"[" * DEEP + b"]" * DEEP + b"}",
    "NaN": b'{"a": NaN}',
    "Infinity": b'{"a": [-Infinity]}',
    "a float that is too large": b'{"a": {"b": 1e999}}',
    "an int that is too large": b'{"a": ' + b"1" * 5000 + b"}",
    "NUL": b"\x00",
    "control characters": b'{"a": "\x01"}',
    "spaces": b"   \n",
    "HTML": b"<!doctype html><p>no",
}
"""Bodies that are no JSON object."""

NO_IDS = (
    "nobody", "%00", "%ff%fe", "%ed%a0%80", "%F0%9F%A6%84", "%25", "a%20b", "%0d%0aX:%201", "<b>", "'\";--",
    "{x}:holds", "*", "status", "%2e%2e", "..%5c..", "x" * 5000, "%C3%A9" * 1500,
)  # fmt: skip
"""Ids as they may stand in an address, that are nobody's."""


def without_sense(key: str) -> list[Any]:
    """Values that are no JSON for `key`, and no text or number either."""
    return [[], {}, [key], {key: 1}, True, False, [[]] * 3, {"$bytes": "AAAA"}]


MOVING = ("processes", "roles", "changes", "relay_wake", "lab", "bench_host", "sleeping")
"""What a lab that nobody uses writes all the time: task runners that sleep say so anew now and then."""
ALL = """
local found = {}
for _, key in ipairs(redis.call("KEYS", ARGV[1] .. "*")) do
  local name = string.sub(key, #ARGV[1] + 1)
  local whole = string.sub(name, 1, 8) == "session:"
  found[#found + 1] = { name, whole and redis.call("HGETALL", key) or redis.call("DUMP", key) }
end
return found
"""


def kept(lab: SmallLab) -> dict[str, Any]:
    """What the store keeps of sessions, benches and tasks, byte for byte, but for when a user polled."""
    store, found = lab.lab.store, {}
    for name, value in store.command("EVAL", ALL, 0, f"{{{store.keys.prefix}}}:"):
        if text(name).partition(":")[0] not in MOVING:
            whole = isinstance(value, list)
            found[text(name)] = {**record(value), "last_poll": None} if whole else value
    return found


def nested(depth: int) -> Any:
    """Lists within lists."""
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


class Spring(io.RawIOBase):
    """A body without end, or with one. read_bytes: how much of it was read."""

    def __init__(self, size: float = math.inf):
        self.read_bytes = 0
        self._size = size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = int(min(len(buffer), self._size - self.read_bytes))
        buffer[:count] = b" " * count
        self.read_bytes += count
        return count


def sent(lab: SmallLab, path: str, body: Any, **environ: Any) -> TestResponse:
    """Post a stream as a server hands it on."""
    wanted = EnvironBuilder(path=BASE + path, method="POST", headers=CREDENTIALS).get_environ()
    facts = {**wanted, "wsgi.input": body, **environ}
    given = {key: value for key, value in facts.items() if value is not None}
    chunks, status, headers = run_wsgi_app(lab.app, given, buffered=True)
    return TestResponse(chunks, status, headers, EnvironBuilder().get_request())


def refused(answer: TestResponse, key: str, status: int = 400) -> str:
    """Look at a refusal, and give its message."""
    assert (answer.status_code, answer.mimetype) == (status, "application/json")
    facts = answer.get_json()
    assert (facts["error"], facts["key"]) == (True, key), facts
    assert len(facts["message"]) < 500
    return str(facts["message"])


class LiveLab(SmallLab):
    """A lab with two benches, one of which a session has: `live`."""

    live = ""


@pytest.fixture(name="lab", scope="module")
def live_lab(tmp_path_factory: pytest.TempPathFactory, store_server: StoreServer) -> Iterator[LiveLab]:
    folder = tmp_path_factory.mktemp("lab")
    with LiveLab(folder, store_server.url, devices=["toy"], benches=2, LABKIT_MOST_SOCKETS=0) as lab:
        lab.up()
        lab.live = lab.start(length=1000)
        yield lab


@pytest.fixture(autouse=True)
def changes_nothing(lab: LiveLab, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Whatever a test sends, the store is as it was before, and nothing is worth an error in the log."""
    before = kept(lab)
    yield
    assert kept(lab) == before
    worth = [each for each in caplog.records if each.exc_info or each.name.startswith("labkit")]
    assert [each.getMessage() for each in worth if each.levelno >= logging.ERROR] == []
