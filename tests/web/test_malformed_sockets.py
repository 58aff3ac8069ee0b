"""Malformed events of a page's socket: each is answered with what is wrong and its key, and nothing has changed."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from labkit.web.page_values import MAX_DEPTH
from tests.toy import wait_until
from tests.web.malformed import LONE, LiveLab, nested
from tests.web.malformed import changes_nothing as changes_nothing
from tests.web.malformed import live_lab as live_lab
from tests.web.served import cookie, served
from tests.web.socket_lab import Browser

KINDS = ("BadRequestError", "UnknownDeviceError", "CommandError", "CallExpiredError")
CALL = {"device": "toy", "command": "write"}
FEED = {"device": "bench-1/toy", "feed": "received"}


@pytest.fixture(scope="module")
def url(lab: LiveLab) -> Iterator[str]:
    """Where the lab is served."""
    with served(lab.app) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def page(lab: LiveLab, url: str) -> Iterator[Browser]:
    """The page of the session that goes on."""
    made = Browser(url, cookie(lab.app, {"weblab_session_id": lab.live}))
    made.connect()
    yield made
    made.close()


@pytest.fixture(autouse=True)
def _calls_nothing(lab: LiveLab, page: Browser) -> Iterator[None]:
    """No command runs, and the page is still in."""
    before = {name: list(world.acts) for name, world in lab.worlds.items()}
    yield
    assert page.ask("poll")["ok"]
    assert {name: world.acts for name, world in lab.worlds.items()} == before


def refused(page: Browser, event: str, *values: Any) -> dict[str, Any]:
    """Send an event that is to be refused, and give the error."""
    answer = page.ask(event, *values)
    assert answer["ok"] is False, answer
    error: dict[str, Any] = answer["error"]
    assert error["kind"] in KINDS, error
    assert len(error["message"]) < 500
    return error


NO_OBJECTS = (
    None,
    0,
    1.5,
    True,
    False,
    "",
    "text",
    [],
    [1],
    [{}],
    b"",
    b"\xff",
    math.nan,
    LONE,
    "x" * 100_000,
    nested(100),
)


@pytest.mark.parametrize("event", ["subscribe", "unsubscribe", "ack", "call"])
def test_event_that_carries_no_object_is_refused(page: Browser, event: str) -> None:
    for value in NO_OBJECTS:
        assert "event" in refused(page, event, value)["message"]
    assert "event" in refused(page, event)["message"]


NO_TEXTS = (None, 0, 17, 1.5, True, "", [], ["x"], {}, {"a": 1}, b"", b"bench-1/toy", math.inf, nested(100))


@pytest.mark.parametrize("event", ["subscribe", "unsubscribe", "ack"])
@pytest.mark.parametrize("key", ["device", "feed"])
def test_name_in_a_feed_that_is_none_is_refused_by_its_key(page: Browser, event: str, key: str) -> None:
    odd = (
        "a b",
        "../x/y",
        "x" * 10_000,
        "a/b/c",
        "/",
        "bench-1/",
        LONE,
        "\x00",
        "bench-1/toy\n",
        "é/é",
        "*",
        "a=b c=d",
    )
    for value in (*NO_TEXTS, *odd):
        assert refused(page, event, {**FEED, "cursor": "1:1", key: value})["message"].startswith(key), value
    assert refused(page, event, {name: value for name, value in FEED.items() if name != key})["message"].startswith(key)


@pytest.mark.parametrize("event", ["subscribe", "unsubscribe", "ack"])
def test_cursor_that_is_none_is_refused(page: Browser, event: str) -> None:
    odd = (
        "",
        "x",
        ":",
        "1:",
        "1:x",
        "-1:0",
        "1" * 17 + ":0",
        "1:1:1",
        "1:1\n",
        "\u0661:1",
        LONE,
        "x" * 10_000,
        "1e3:0",
    )
    for value in (0, 17, 1.5, True, [], {}, b"1:1", math.nan, *odd):
        assert refused(page, event, {**FEED, "cursor": value})["message"].startswith("cursor"), value
    if event == "ack":
        assert refused(page, event, {**FEED, "cursor": None})["message"].startswith("cursor")


@pytest.mark.parametrize("event", ["subscribe"])
def test_feed_of_a_device_of_others_is_refused(page: Browser, event: str) -> None:
    for device in ("bench-2/toy", "bench-9/toy", "__proto__/toy"):
        error = refused(page, event, {**FEED, "device": device})
        assert (error["kind"], device in error["message"]) == ("UnknownDeviceError", True)


@pytest.mark.parametrize("key", ["device", "command"])
def test_name_in_a_call_that_is_none_is_refused_by_its_key(page: Browser, key: str) -> None:
    for value in (*NO_TEXTS, LONE, "x" * 10_000):
        assert refused(page, "call", {**CALL, key: value})["message"].startswith(key), value
    assert refused(page, "call", {name: value for name, value in CALL.items() if name != key})["message"].startswith(
        key
    )


@pytest.mark.parametrize("device", ["bench-2/toy", "bench-1/", "/", "nobody", "bench-1/toy ", "\x00", "*", "toy\n"])
def test_device_that_the_session_has_not_is_refused(page: Browser, device: str) -> None:
    error = refused(page, "call", {**CALL, "device": device})
    assert (error["kind"], repr(device)[1:-1] in error["message"] or device in error["message"]) == (
        "UnknownDeviceError", True,
    )  # fmt: skip


@pytest.mark.parametrize(
    "command",
    ["nothing", "__init__", "_pass", "world", "make_safe", "close", "hang", "fail", "ready", "received", "a" * 100],
)
def test_command_that_a_panel_has_not_is_refused(page: Browser, command: str) -> None:
    error = refused(page, "call", {**CALL, "command": command})
    assert (error["kind"], command[:40] in error["message"]) == (
        "CommandError" if command[0] != "_" else error["kind"],
        True,
    )


ODD_ARGUMENTS = (math.nan, math.inf, [-math.inf], {"a": math.nan}, LONE, {LONE: 1}, nested(MAX_DEPTH + 1), nested(100))


@pytest.mark.parametrize("key", ["args", "kwargs"])
def test_arguments_that_can_not_be_passed_on_are_refused(page: Browser, key: str) -> None:
    other = (
        0,
        1,
        "x",
        True,
        b"\xff",
        1.5,
        LONE,
        math.nan,
        [] if key == "kwargs" else {},
        [1] if key == "kwargs" else {"a": 1},
    )
    within = [[value] if key == "args" else {"what": value} for value in ODD_ARGUMENTS]
    for value in (*other, *within):
        assert refused(page, "call", {**CALL, key: value})["message"].startswith(key), value


def test_arguments_that_the_command_does_not_take_are_refused(page: Browser) -> None:
    for arguments in (
        {},
        {"args": [1, 2]},
        {"args": [1], "kwargs": {"what": 1}},
        {"kwargs": {"other": 1}},
        {"kwargs": {"": 1}},
    ):
        assert refused(page, "call", {**CALL, **arguments})["kind"] in KINDS[2:]


@pytest.mark.parametrize("timeout", [True, -1, -1e308, 1e308, 10**60, "x", [], None, b"1"])
def test_time_limit_that_makes_no_sense_is_refused(page: Browser, timeout: Any) -> None:
    assert refused(page, "call", {**CALL, "args": [1], "kwargs": {"timeout": timeout}})["kind"] in KINDS[2:]


@pytest.mark.parametrize("event", ["poll"])
def test_what_a_poll_carries_is_no_matter(page: Browser, event: str) -> None:
    for values in ((None,), (1, 2, 3), (LONE,), (b"\xff",), (nested(100),), ("x" * 100_000,), (math.nan,)):
        assert page.ask(event, *values)["ok"]


# -- anything


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats() | st.text(max_size=5)
    | st.binary(max_size=5) | st.sampled_from([LONE, "toy", "bench-1/toy", "bench-2/toy"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
keys = st.sampled_from(["device", "feed", "cursor", "args", "kwargs", "x"])  # without a command nothing is called


@settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(event=st.sampled_from(["subscribe", "ack", "call"]), value=json_values | st.dictionaries(keys, json_values))
def test_any_event_is_answered_with_what_is_wrong(page: Browser, event: str, value: Any) -> None:
    refused(page, event, value)


# -- other pages


@contextlib.contextmanager
def browser(lab: LiveLab, url: str, session: Any) -> Iterator[Browser]:
    """A page that asks to come in, with something as its session in its cookie."""
    made = Browser(url, cookie(lab.app, {"weblab_session_id": session}))
    made.connect(wait=False)
    link = made.client.eio.ws.sock  # the client leaves a connection that was cut open
    try:
        yield made
    finally:
        made.close()
        if link is not None:
            link.close()


def test_other_pages_go_on_where_one_sends_too_much(lab: LiveLab, url: str, page: Browser) -> None:
    with browser(lab, url, lab.live) as other:
        wait_until(lambda: other.client.namespaces, "the page to come in")
        other.client.emit("call", {**CALL, "args": ["x" * 3_000_000]})
        assert other.gone.wait(30)
    assert page.ask("poll")["ok"]


@pytest.mark.parametrize("session", ["", "nobody", 17, ["x"], {"a": 1}, None, "x" * 3000])
def test_socket_of_nobody_does_not_come_in(lab: LiveLab, url: str, session: Any) -> None:
    with browser(lab, url, session) as other:
        assert other.refusals.get(timeout=30)["data"] == {"reason": "unknown"}
