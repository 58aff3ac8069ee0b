"""Whatever else an RLMS could send: credentials, ids, methods, addresses, anything."""

from __future__ import annotations

import base64
import io
import secrets
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from tests.small_lab import CREDENTIALS
from tests.web.malformed import (
    BASE,
    DATES,
    LONE,
    NO_IDS,
    START,
    TEXTS,
    WITH_BODY,
    LiveLab,
    Spring,
    refused,
    sent,
)
from tests.web.malformed import changes_nothing as changes_nothing
from tests.web.malformed import live_lab as live_lab

ROUTES = {
    "api": ["GET"],
    "test": ["GET"],
    "": ["POST"],
    "x": ["POST"],
    "x/status": ["GET"],
    "status/multiple": ["POST"],
}

# -- credentials


def encoded(credentials: bytes) -> str:
    return "Basic " + base64.b64encode(credentials).decode()


AUTHORIZATIONS = [
    "", "Basic", "Basic ", "basic !!!", "Basic a", "Basic a=b", "Basic \xe9\xff", "\xff", "\x00", "rlms:secret", "=",
    ",", "Bearer secret", 'Digest username="rlms", password="secret"', "Basic username=rlms, password=secret",
    encoded(b"rlms"), encoded(b":"), encoded(b"\xff\xfe:\x80"), encoded(b"rlms:secret\x00"), encoded(b"rlms:secret "),
    encoded("rlms:sécret".encode("latin-1")), encoded(b"rlms:secret".ljust(50_000, b"x")), encoded(b"x" * 50_000),
    "Basic " + "A" * 100_001, encoded(b"rlms:secret") + " x", "Basic\t" + encoded(b"rlms:secret")[6:],
    encoded("rlms:secret".encode("utf-16")),
]  # fmt: skip


@pytest.mark.parametrize("given_", AUTHORIZATIONS)
def test_credentials_that_are_none_are_a_401(lab: LiveLab, given_: str) -> None:
    for path, methods in ROUTES.items():
        if path != "api":
            answer = lab.rlms(methods[0], path, headers={"Authorization": given_})
            assert (answer.status_code, answer.mimetype) == (401, "application/json")
            words = answer.get_json()
            assert "seem to be" in words["message"] if path != "test" else words["valid"] is False


def test_body_of_a_stranger_is_not_read(lab: LiveLab) -> None:
    spring = Spring(10)
    answer = sent(lab, "", spring, CONTENT_LENGTH="10", HTTP_AUTHORIZATION="Basic x")
    assert (answer.status_code, spring.read_bytes) == (401, 0)


# -- ids, and many of them


@pytest.mark.parametrize("session_id", NO_IDS)
def test_id_of_nobody_is_an_unknown_session(lab: LiveLab, session_id: str) -> None:
    answer = lab.rlms("GET", f"{session_id}/status")
    assert (answer.status_code, answer.get_json()) == (200, {"should_finish": -1})
    if session_id != "status":
        answer = lab.rlms("POST", session_id, {"action": "delete"})
        assert (answer.status_code, answer.get_json()) == (200, {"message": "Not found"})


@pytest.mark.parametrize("action", [None, "", "Delete", ["delete"], {"delete": 1}, True, 1, LONE, "delete\x00"])
def test_action_that_is_another_does_nothing(lab: LiveLab, action: Any) -> None:
    for session_id in ("nobody", lab.live):
        answer = lab.rlms("POST", session_id, {"action": action, "\x00": LONE})
        assert (answer.status_code, answer.get_json()) == (200, {"message": "Unknown op"})


@pytest.mark.parametrize(
    "ids", ["x", 1, True, {}, {"x": 1}, [1], ["x", None], [["x"]], [LONE], [{"x": 1}], False, 0, ""]
)
def test_ids_that_are_none_are_refused(lab: LiveLab, ids: Any) -> None:
    refused(lab.rlms("POST", "status/multiple", {"session_ids": ids}), "session_ids")


@pytest.mark.parametrize("timeout", ["", "x", "nan", "inf", -1, "-0.5", True, [], {}, 10**400, "1e999"])
def test_timeout_that_is_none_is_refused(lab: LiveLab, timeout: Any) -> None:
    refused(lab.rlms("POST", "status/multiple", {"session_ids": [], "timeout": timeout}), "timeout")


def test_thousands_of_ids_are_answered(lab: LiveLab) -> None:
    ids = [secrets.token_urlsafe(32) for _ in range(3000)] + ["x" * 100_000, "", "\x00", lab.live]
    status = lab.rlms("POST", "status/multiple", {"session_ids": ids * 2, "timeout": None}).get_json()["status"]
    assert {key: value for key, value in status.items() if value != -1} == {lab.live: 5}
    assert len(status) == len(ids)


# -- methods and addresses


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH", "TRACE", "CONNECT", "PROPFIND", "X" * 99])
def test_method_that_a_route_has_not_is_refused_in_json(lab: LiveLab, path: str, method: str) -> None:
    if method in ROUTES[path] or (method == "POST" and path in ("api", "test")):  # ids like any other
        return
    answer = lab.rlms(method, path)
    refused(answer, "method", 405)
    assert set(ROUTES[path]) <= set(answer.headers["Allow"].split(", "))
    assert lab.rlms(method, path, headers={}).status_code == 401


@pytest.mark.parametrize("path", ROUTES)
def test_options_and_head_are_answered_and_do_nothing(lab: LiveLab, path: str) -> None:
    options = lab.rlms("OPTIONS", path)
    assert (options.status_code, options.mimetype) == (200, "application/json")
    assert set(ROUTES[path]) < set(options.get_json()["methods"]) == set(options.headers["Allow"].split(", "))
    head = lab.rlms("HEAD", path)
    assert (head.status_code, head.mimetype, head.data) == (
        200 if "GET" in ROUTES[path] else 405, "application/json", b"",
    )  # fmt: skip


@pytest.mark.parametrize("path", ["a/b/c", "a%2Fb/status", "x/status/y", "%2e%2e/%2e%2e/x", "x/" + "y" * 5000])
def test_address_of_nothing_is_a_404_in_json(lab: LiveLab, path: str) -> None:
    for method in ("GET", "POST", "PUT", "OPTIONS", "PROPFIND"):
        refused(lab.rlms(method, path, b"{"), "path", 404)
    assert lab.rlms("GET", path, headers={}).status_code == 401


@pytest.mark.parametrize("path", ["nobody/status", "api", ""])
def test_websocket_is_refused_in_json(lab: LiveLab, path: str) -> None:
    headers = {**CREDENTIALS, "Connection": "Upgrade", "Upgrade": "websocket"}
    refused(lab.rlms("GET", path, headers=headers), "Upgrade")


# -- anything


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from([LONE, "\x00", "1e999"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
keys = st.sampled_from(["client_initial_data", "server_initial_data", "back", "action", "session_ids", "timeout", "x"])
server_keys = st.sampled_from([*TEXTS, *DATES, f"{START}.timestamp", "x"])  # without a length nothing can start
servers = st.dictionaries(server_keys, json_values, max_size=4)
bodies = st.dictionaries(keys, json_values | servers, max_size=4)
paths = st.sampled_from(["", "nobody", "status/multiple"]) | st.text(max_size=8)
anything = settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def fits(answer: TestResponse) -> None:
    """Whether an answer is one of those that any request may get: never a success of a start, never a 5xx."""
    assert answer.mimetype == "application/json"
    facts = answer.get_json()
    assert "url" not in facts
    if answer.status_code != 200:
        assert answer.status_code in (308, 400, 404, 405)
        assert facts["key"]
        assert facts["key"] in facts["message"] or answer.status_code != 400


@anything
@given(body=bodies, path=st.sampled_from(WITH_BODY))
@example(body={"server_initial_data": {"": LONE}}, path="")
def test_any_json_is_answered(lab: LiveLab, body: Any, path: str) -> None:
    fits(lab.rlms("POST", path, body))


@anything
@given(body=st.binary(max_size=60), path=st.sampled_from(WITH_BODY))
def test_any_bytes_are_answered(lab: LiveLab, body: bytes, path: str) -> None:
    fits(lab.rlms("POST", path, body))


@anything
@given(path=st.binary(min_size=1, max_size=30), method=st.sampled_from(["GET", "POST", "DELETE", "HEAD"]))
def test_any_address_is_answered(lab: LiveLab, path: bytes, method: str) -> None:
    answer = sent(lab, "x", io.BytesIO(b'{"action": "delete"}'), PATH_INFO=BASE + path.decode("latin-1"),
                  REQUEST_METHOD=method, CONTENT_LENGTH="20")  # fmt: skip
    if answer.status_code == 308:
        return  # two slashes
    if method != "HEAD":
        fits(answer)
    assert answer.status_code < 500


@anything
@given(header=st.binary(max_size=60), basic=st.booleans())
def test_any_credentials_are_refused(lab: LiveLab, header: bytes, basic: bool) -> None:
    given_ = ("Basic " if basic else "") + header.decode("latin-1")
    answer = sent(lab, "nobody", io.BytesIO(b""), HTTP_AUTHORIZATION=given_)
    assert (answer.status_code, answer.mimetype) == (401, "application/json")
