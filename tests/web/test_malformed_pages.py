"""Malformed input to what a browser asks for: the user's URLs, labkit's pages, cookies, the socket's address."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.test import EnvironBuilder, TestResponse, run_wsgi_app

from tests.web.malformed import NO_IDS, NO_OBJECTS, LiveLab, nested
from tests.web.malformed import changes_nothing as changes_nothing
from tests.web.malformed import live_lab as live_lab
from tests.web.served import cookie

PAGES = [
    "/callback/nobody", "/callback/nobody/poll", "/callback/nobody/logout", "/labkit/", "/labkit/ended",
    "/labkit/panels/serial.js", "/labkit/panels/nothing.js", "/labkit/static/page.js", "/labkit/static/nothing",
    "/labkit/socket.io/",
]  # fmt: skip
OWN = {"success": False, "reason": "Different session identifier"}


def ask(lab: LiveLab, path: str, method: str = "GET", body: bytes = b"", **environ: Any) -> TestResponse:
    """Ask as a server hands it on, without a browser's care."""
    wanted = EnvironBuilder(method=method).get_environ()
    facts = {"PATH_INFO": path, "CONTENT_LENGTH": str(len(body)), "wsgi.input": io.BytesIO(body), **environ}
    chunks, status, headers = run_wsgi_app(lab.app, {**wanted, **facts}, buffered=True)
    return TestResponse(chunks, status, headers, EnvironBuilder().get_request())


def told(lab: LiveLab, path: str, header: str | None = None) -> tuple[int, bytes, str | None, list[str]]:
    """What a path says to who sends this header of cookies, and where it leads."""
    sent: dict[str, Any] = {} if header is None else {"HTTP_COOKIE": header}
    answer = ask(lab, path, **sent)
    return answer.status_code, answer.data, answer.headers.get("Location"), answer.headers.getlist("Set-Cookie")


# -- ids


@pytest.mark.parametrize("session_id", NO_IDS)
def test_link_of_nobody_is_forbidden(lab: LiveLab, session_id: str) -> None:
    answer = lab.client().get(f"/callback/{session_id}")
    assert (answer.status_code, answer.text) == (403, "Access forbidden")
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize("what", ["poll", "logout"])
@pytest.mark.parametrize("session_id", [*NO_IDS, "LIVE"])
def test_poll_and_logout_of_another_do_nothing(lab: LiveLab, session_id: str, what: str) -> None:
    path = f"/callback/{session_id.replace('LIVE', lab.live)}/{what}"
    for method in ("GET", "POST"):
        answer = lab.client().open(path, method=method)
        assert (answer.status_code, answer.get_json()) == (200, OWN)


def test_link_with_a_slash_is_no_link(lab: LiveLab) -> None:
    assert lab.client().get("/callback/a%2Fb").status_code == 404


# -- methods and bodies


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "TRACE", "PROPFIND", "OPTIONS", "HEAD", "POST"])
def test_method_that_nobody_foresaw_does_nothing(lab: LiveLab, path: str, method: str) -> None:
    assert ask(lab, path, method, b"{").status_code in (200, 400, 403, 404, 405)


KINDS = [
    "application/json",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "\xff\xfe",
    ";",
    "",
]


@pytest.mark.parametrize("kind", KINDS)
def test_body_of_a_poll_is_not_looked_at(lab: LiveLab, kind: str) -> None:
    for body in (*NO_OBJECTS.values(), b"--x\r\nContent-Disposition: form-data\r\n", b"a=%ff&" * 1000):
        for path in ("/callback/nobody/poll", "/callback/nobody/logout"):
            assert ask(lab, path, "POST", body, CONTENT_TYPE=kind).get_json() == OWN


@pytest.mark.parametrize("length", ["-1", "abc", ""])
def test_length_that_is_none_is_no_matter_to_a_poll(lab: LiveLab, length: str) -> None:
    assert ask(lab, "/callback/nobody/poll", "POST", CONTENT_LENGTH=length).get_json() == OWN


@pytest.mark.parametrize("length", ["1000001", "9" * 30])
def test_body_that_is_announced_as_huge_is_refused_unread(lab: LiveLab, length: str) -> None:
    answer = ask(lab, "/callback/nobody/poll", "POST", CONTENT_LENGTH=length)
    assert (answer.status_code, answer.get_json()["key"]) == (413, "body")


# -- cookies


COOKIES = [
    "session", "session=", "session=x", "session=eyJ9.x.y", "session=.eJw.x.y", "session=\x00", "session=\xff\xfe",
    'session="', "session=" + "a" * 100_000, "=" * 1000, ";" * 1000, "session=%7B%7D", "\xff=\xff",
    "session=x; session=y",
]  # fmt: skip


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("text", COOKIES)
def test_cookie_that_is_none_is_nobodys(lab: LiveLab, path: str, text: str) -> None:
    assert told(lab, path, text) == told(lab, path)


def tampered(good: str, strangers: str) -> list[str]:
    """Cookies made of a good one, and of one that the lab has signed for somebody else."""
    name, _, value = good.partition("=")
    packed, at, signature = value.rsplit(".", 2)
    other = "b" if signature[0] == "a" else "a"
    values = [
        f"{packed}.{at}.{other}{signature[1:]}", f"{packed}.{at}.{strangers.rpartition('.')[2]}", f"{packed}.{at}.",
        f"{packed}.{at}", packed, f"x{value}", f"{packed}.{at[1:]}.{signature}", f"{packed}..{signature}", value[:-20],
    ]  # fmt: skip
    return [f"{name}={one}" for one in values]


OF_THE_SESSION = {"/labkit/": (200, 403), "/labkit/ended": (302, 403), "/callback/LIVE/poll": (200, 200)}
"""What says something else to the session's own browser: the status that this one gets, and that nobody gets."""


@pytest.mark.parametrize("path", [*PAGES, "/callback/LIVE/poll", "/callback/LIVE/logout"])
def test_cookie_that_was_tampered_with_is_nobodys(lab: LiveLab, path: str) -> None:
    good = cookie(lab.app, {"weblab_session_id": lab.live})
    address, nobody = path.replace("LIVE", lab.live), told(lab, path.replace("LIVE", lab.live))
    if path in OF_THE_SESSION:
        own = told(lab, address, good)
        assert ((own[0], nobody[0]), own != nobody) == (OF_THE_SESSION[path], True)
    for bad in tampered(good, cookie(lab.app, {"weblab_session_id": "nobody"})):
        assert told(lab, address, bad) == nobody, bad


CONTENTS = [
    {"weblab_session_id": value}
    for value in (None, 0, 17, 1.5, True, "", [], ["x"], {}, {"a": 1}, "\x00", "x" * 3000, "{x}:holds", nested(20))
]


@pytest.mark.parametrize("path", [*PAGES, "/weblab/sessions/api", "/nothing"])
@pytest.mark.parametrize("content", CONTENTS)
def test_cookie_that_holds_no_id_is_nobodys(lab: LiveLab, path: str, content: Any) -> None:
    assert told(lab, path, cookie(lab.app, content)) == told(lab, path)


# -- labkit's pages


@pytest.mark.parametrize(
    "path", ["%00", "..%2f..%2fpyproject.toml", "../../pages.py", "%2e%2e/pages.py", "x" * 5000, "%ff", "", "a//b", "."]
)
def test_file_that_is_none_is_not_found(lab: LiveLab, path: str) -> None:
    for url in (f"/labkit/static/{path}", f"/labkit/panels/{path}.js"):
        assert lab.client().get(url).status_code in (404, 308)


def test_headers_of_a_file_that_make_no_sense_are_no_matter(lab: LiveLab) -> None:
    for name in ("RANGE", "IF_RANGE", "IF_NONE_MATCH", "IF_MODIFIED_SINCE", "ACCEPT", "ACCEPT_ENCODING", "REFERER"):
        for value in ("", "x", "bytes=x", "bytes=9-1", "bytes=" + "0-1," * 500, "\xff", "a;q=x", "\x00", "0" * 5000):
            answer = ask(lab, "/labkit/static/page.js", **{f"HTTP_{name}": value})
            assert answer.status_code in (200, 206, 304, 416), (name, value)
            assert ask(lab, "/labkit/", **{f"HTTP_{name}": value}).status_code == 403


# -- the socket's address


QUERIES = [
    "", "EIO", "EIO=4", "EIO=abc&transport=websocket", "EIO=4&transport=polling", "EIO=4&transport=",
    "EIO=4&transport=x",
    "EIO=4&transport=websocket", "EIO=4&transport=websocket&sid=x", "EIO=4&transport=websocket&sid=%00%ff",
    "sid=" + "x" * 5000,
    "EIO=4&transport=websocket&j=x", "EIO=4&transport=websocket&j=1", "%ff=%ff", "&&&&",
    "EIO=4&EIO=4&transport=websocket",
]  # fmt: skip


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PROPFIND"])
@pytest.mark.parametrize("query", QUERIES)
def test_address_of_the_socket_without_one_is_refused(lab: LiveLab, query: str, method: str) -> None:
    answer = ask(lab, "/labkit/socket.io/", method, b'2["poll"]', QUERY_STRING=query)
    assert answer.status_code in (400, 405)


# -- the session's own browser


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    path=st.sampled_from([*PAGES, "/", "/nothing", "/callback/LIVE", "/callback/LIVE/poll"]),
    method=st.sampled_from(["GET", "POST", "PUT"]),
    body=st.binary(max_size=40) | st.text(max_size=20).map(lambda text: json.dumps({"session_id": text}).encode()),
    query=st.binary(max_size=20).map(lambda raw: raw.decode("latin-1")),
)
def test_whatever_the_sessions_own_browser_sends_the_session_goes_on(
    lab: LiveLab, path: str, method: str, body: bytes, query: str
) -> None:
    browser = {"HTTP_COOKIE": cookie(lab.app, {"weblab_session_id": lab.live})}
    path = path.replace("LIVE", lab.live)
    answer = ask(lab, path, method, body, QUERY_STRING=query, **browser)
    assert answer.status_code in (200, 302, 400, 403, 404, 405)
    assert lab.status(lab.live) == 5
