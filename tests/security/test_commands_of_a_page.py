"""A student with a program instead of the page: what the socket lets through to devices. Only what panels may use."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.security.busy_lab import BusyLab
from tests.web.socket_lab import Browser

NO_PANEL = ["block", "hang", "fail", "read", "thing"]
"""Commands of the toy that lab code may call, and no page."""
NO_COMMANDS = [
    "open", "close", "make_safe", "interrupt", "health", "watched", "link", "options", "world", "received", "state",
    "_unplug", "_pass", "__init__", "__class__", "__dict__", "__getattribute__", "__reduce__", "call", "within", "name",
    "_caller", "_bound", "commands", "kind", "simulated", "Options", "write.__globals__", "write/../block",
    "WRITE", "write ",
    "wr\u0456te", "toString", "constructor", "__proto__", "steps.send",
]  # fmt: skip
DEVICES = [
    "{other}/toy", "bench-9/toy", "{own}/nothing", "{own}", "{own}/", "/toy", "{own}/toy/", "{own}/../{other}/toy",
    "{own}//toy",
    "{own}/toy\x00", "{OWN}/toy", "{own}/__class__", "*", "{own}/*", "{own}/toy@1", "{{lab}}:calls", "",
]  # fmt: skip
ARGUMENTS: list[dict[str, Any]] = [
    {}, {"args": [1, 2]}, {"args": ["x"], "kwargs": {"what": "y"}}, {"kwargs": {"self": 1, "what": 2}},
    {"kwargs": {"other": 1}},
    {"kwargs": {"__class__": 1}}, {"args": "x"}, {"kwargs": ["what"]}, {"args": {"0": "x"}}, {"kwargs": {"what": 1,
    "": 2}},
]  # fmt: skip
STEPS: list[dict[str, Any]] = [
    {"what": "x", "count": "many"}, {"what": "x", "count": 1.5}, {"what": "x", "count": None}, {"what": "x",
    "count": [1]},
    {"what": "x", "count": "1; import os"}, {"what": "x"}, {"count": 1}, {"what": "x", "count": 1, "gate": 5},
    {"what": "x", "count": 1, "link": None}, {"what": "x", "count": {"$bytes": "AA=="}},
]  # fmt: skip


@pytest.fixture(scope="module")
def page(lab: BusyLab) -> Iterator[Browser]:
    lab.ready()
    made = Browser(f"http://127.0.0.1:{lab.port}", lab.cookie(lab.own))
    made.connect()
    yield made
    made.close()


@pytest.fixture(autouse=True)
def _reaches_no_device(lab: BusyLab, page: Browser) -> Iterator[None]:
    before = lab.snapshot()
    yield
    assert page.ask("poll")["ok"]
    assert lab.snapshot() == before


def refused(page: Browser, **call: Any) -> dict[str, Any]:
    answer = page.ask("call", {"args": [], "kwargs": {}, **call})
    assert answer["ok"] is False, answer
    error: dict[str, Any] = answer["error"]
    assert error["kind"] in ("BadRequestError", "UnknownDeviceError", "CommandError"), error
    return error


@pytest.mark.parametrize("command", NO_PANEL)
def test_command_that_is_not_for_the_panel_is_refused(page: Browser, command: str) -> None:
    for more in ({}, {"panel": False}, {"kwargs": {"panel": False}}):
        assert refused(page, device="toy", command=command, **more)["kind"] == "CommandError"


def test_what_is_no_command_is_refused(page: Browser) -> None:
    for command in NO_COMMANDS:
        refused(page, device="toy", command=command)


def test_device_of_another_session_is_refused(lab: BusyLab, page: Browser) -> None:
    own, other = lab.bench_of(lab.own), lab.bench_of(lab.other)
    for name in DEVICES:
        device = name.format(own=own, other=other, OWN=own.upper())
        for command in ("write", "block"):
            error = refused(page, device=device, command=command, args=["x"])
            assert lab.own not in error["message"]
            assert lab.other not in error["message"]


def test_fence_and_session_that_a_page_makes_up_count_for_nothing(lab: BusyLab, page: Browser) -> None:
    other = lab.bench_of(lab.other)
    fence = lab.read(lab.other).fences[other]
    made_up = {"fence": fence, "session": lab.other, "session_id": lab.other, "bench": other, "until": 9e9, "task": "x"}
    refused(page, device=f"{other}/toy", command="write", args=["x"], **made_up)
    refused(page, device="toy", command="block", **made_up)
    feed = {"device": f"{other}/toy", "feed": "received", **made_up}
    assert page.ask("subscribe", feed)["error"]["kind"] == "UnknownDeviceError"


def test_arguments_are_checked_where_the_device_is(page: Browser) -> None:
    for arguments in ARGUMENTS:
        refused(page, device="toy", command="write", **arguments)
    for arguments in STEPS:
        assert refused(page, device="toy", command="steps", kwargs=arguments)["kind"] == "CommandError", arguments
