"""Other sites' pages: what they can have a visitor's browser do here with the visitor's cookie. Nothing."""

from __future__ import annotations

import json
from typing import Any

import flask
import pytest
import websocket
from flask.sessions import SessionInterface, SessionMixin
from werkzeug.datastructures import CallbackDict

from labkit import requires_active, requires_login
from labkit.errors import InvalidConfigError
from labkit.settings import Settings, read_settings
from labkit.web.origin import is_from_elsewhere
from tests.security.busy_lab import BusyLab
from tests.small_lab import MakeLab, SmallLab
from tests.web.described import Answers

OTHERS = [
    "http://evil.example", "https://evil.example", "null", "http://lab.example.evil.example", "http://lab.example:81",
    "http://lab.example@evil.example", "file://", "http://", "lab.example", "//lab.example", "http://[", "http://sub.lab.example",
    "chrome-extension://lab.example", "http://lab.example\x00.evil.example", "http://lab.example:99999", " ",
]  # fmt: skip
OWN = ["http://lab.example", "https://lab.example", "http://LAB.example", "http://lab.example:80"]
LMS = "https://lms.example.edu"
ELSEWHERE = [
    {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Origin": "https://evil.example"},
    {"Origin": "null"}, {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"},
]  # fmt: skip
"""What a browser puts on a request of another site's page, of one on another host of the same domain among them."""
HERE: list[dict[str, str]] = [
    {"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Dest": "iframe"},
    {"Sec-Fetch-Site": "none"}, {"Origin": "http://localhost"}, {},
]  # fmt: skip
"""What is on a request of the lab's own page (in a frame, too), of its user, and of a program or an old browser."""


@pytest.fixture(name="lab")
def ready_lab(lab: BusyLab) -> BusyLab:
    return lab.ready()


def post(lab: SmallLab, path: str, session: str = "", **headers: str) -> Any:
    """A POST by the browser of a session, from whatever page; the lab is `lab.example`."""
    sent = {"Host": "lab.example", **({"Cookie": lab.cookie(session)} if session else {}), **headers}  # type: ignore[attr-defined]
    return lab.app.test_client(use_cookies=False).post(path, headers=sent)


# -- which page is whose


@pytest.mark.parametrize("origin", OTHERS)
def test_page_of_another_site_is_known(origin: str) -> None:
    assert is_from_elsewhere({"HTTP_HOST": "lab.example", "HTTP_ORIGIN": origin}, Settings())


@pytest.mark.parametrize("origin", OWN)
def test_page_of_the_lab_is_its_own_whether_a_proxy_hides_https_or_not(origin: str) -> None:
    assert not is_from_elsewhere({"HTTP_HOST": "lab.example", "HTTP_ORIGIN": origin}, Settings())


@pytest.mark.parametrize("sign", [{"wsgi.url_scheme": "https"}, {"HTTP_X_FORWARDED_PROTO": "https"}, {}])
def test_page_in_the_clear_is_another_site_where_the_lab_is_reached_by_https(sign: dict[str, str]) -> None:
    settings = Settings() if sign else Settings(scheme="https")
    environ = {"HTTP_HOST": "lab.example", **sign}
    assert is_from_elsewhere({**environ, "HTTP_ORIGIN": "http://lab.example"}, settings)
    assert not is_from_elsewhere({**environ, "HTTP_ORIGIN": "https://lab.example"}, settings)


def test_name_that_a_proxy_hides_is_known_by_its_header_or_the_labs_own_name() -> None:
    inner = {"HTTP_HOST": "127.0.0.1:5000", "HTTP_ORIGIN": "https://lab.example"}
    assert is_from_elsewhere(inner, Settings())
    assert not is_from_elsewhere({**inner, "HTTP_X_FORWARDED_HOST": "lab.example, inner"}, Settings())
    assert not is_from_elsewhere(inner, Settings(), "lab.example")
    assert not is_from_elsewhere({**inner, "HTTP_SEC_FETCH_SITE": "same-origin"}, Settings())


def test_request_without_an_origin_is_judged_by_what_the_browser_says_of_its_page() -> None:
    kinds = (("cross-site", True), ("same-site", True), ("Cross-Site", True), ("", True), ("same-origin", False))
    for site, elsewhere in (*kinds, ("none", False)):
        assert is_from_elsewhere({"HTTP_HOST": "lab.example", "HTTP_SEC_FETCH_SITE": site}, Settings()) is elsewhere
    assert not is_from_elsewhere({"HTTP_HOST": "lab.example"}, Settings())


# -- what they can't do


@pytest.mark.parametrize(
    "path", ["/active", "/login", "/callback/{own}/poll", "/callback/{own}/logout", "/labkit/demo"]
)
def test_post_from_another_site_does_nothing(lab: BusyLab, path: str) -> None:
    before = lab.snapshot()
    for origin in ("https://evil.example", "null"):
        answer = post(lab, path.format(own=lab.own), lab.own, Origin=origin)
        assert answer.status_code == 403
        assert "Set-Cookie" not in answer.headers
    assert post(lab, path.format(own=lab.own), lab.own, **{"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert lab.snapshot() == before


@pytest.mark.parametrize("guard", [requires_active, requires_login])
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "PROPPATCH"])
def test_guarded_view_is_asked_to_change_something_by_the_labs_own_pages_only(
    make: MakeLab, guard: Any, method: str
) -> None:
    lab = make()
    done: list[str] = []

    def do() -> str:
        done.append(method)
        return "done"

    lab.view("/thing", guard(do), methods=["GET", method])
    student = lab.up().student(lab.start())
    for headers in ELSEWHERE:
        assert student.open("/thing", method=method, headers=headers).status_code == 403, headers
    assert done == []
    for headers in HERE:
        assert student.open("/thing", method=method, headers=headers).text == "done", headers
    assert student.get("/thing", headers=ELSEWHERE[0]).text == "done"  # to look at it, one may come by a link


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_poll_and_logout_are_asked_for_by_the_labs_own_pages_only(make: MakeLab, method: str) -> None:
    lab, described = make(WEBLAB_AUTOPOLL=False, LABKIT_MOST_REQUESTS=0).up(), Answers()
    session = lab.start()
    student, before = lab.student(session), lab.read(session).fields
    for what in ("poll", "logout"):
        for headers in ELSEWHERE:
            answer = student.open(f"/callback/{session}/{what}", method=method, headers=headers)
            assert answer.get_json() == {"success": False, "reason": "Page of another site"}, headers
            described.fit(answer, method, f"/callback/{session}/{what}")
    assert {**lab.read(session).fields, "now": ""} == {**before, "now": ""}
    for headers in HERE:
        assert student.open(f"/callback/{session}/poll", method=method, headers=headers).get_json()["success"], headers
    assert lab.read(session).number("last_poll") > float(before["last_poll"])
    for headers in HERE:
        other = lab.start()
        leaving = lab.student(other)
        assert leaving.open(f"/callback/{other}/logout", method=method, headers=headers).get_json()["success"], headers
        assert lab.status(other) == -1


def test_demo_is_started_by_its_own_page_only(lab: BusyLab) -> None:
    before = lab.snapshot()
    assert post(lab, "/labkit/demo", Origin="https://evil.example").status_code == 403
    assert lab.snapshot() == before
    assert post(lab, "/labkit/demo", Origin="http://lab.example").status_code == 303


def test_post_from_the_labs_own_page_is_done(lab: BusyLab) -> None:
    for origin in OWN:
        assert post(lab, "/active", lab.own, Origin=origin).text == "active"
        assert post(lab, f"/callback/{lab.own}/poll", lab.own, Origin=origin).get_json() == {"success": True}


def test_site_that_the_owner_names_may_act_for_users(make: MakeLab) -> None:
    lab = make(LABKIT_ORIGINS=f"https://one.example {LMS}").up()
    session = lab.start()
    student = lab.student(session)
    answer = student.post(f"/callback/{session}/poll", headers={"Origin": LMS})
    assert answer.get_json() == {"success": True}
    assert student.post(f"/callback/{session}/poll", headers={"Origin": "https://evil.example"}).status_code == 403


def shake_hands(lab: BusyLab, host: str = "", **headers: str) -> tuple[int, str]:
    """Open a socket as the session's browser does; returns the status and what comes first. host: what it calls it."""
    link = websocket.WebSocket()
    link.settimeout(30)
    try:
        link.connect(  # type: ignore[no-untyped-call]
            f"ws://127.0.0.1:{lab.port}/labkit/socket.io/?EIO=4&transport=websocket", suppress_origin=True,
            host=host or None, header={"Cookie": lab.cookie(lab.own), **headers},
        )  # fmt: skip
        return 101, str(link.recv())
    except websocket.WebSocketBadStatusException as refusal:
        return refusal.status_code, ""
    finally:
        if link.sock is not None:
            link.sock.close()


def test_socket_opens_for_the_labs_own_pages_only(lab: BusyLab) -> None:
    here = f"127.0.0.1:{lab.port}"
    before = lab.snapshot()
    for origin in ("https://evil.example", "null", "http://127.0.0.1:1", f"http://{here}.evil.example", "file://"):
        assert shake_hands(lab, Origin=origin)[0] == 400, origin
    assert lab.snapshot() == before
    for headers in ({"Origin": f"http://{here}"}, {}):
        assert shake_hands(lab, **headers)[1].startswith("0{"), headers


def test_socket_opens_behind_a_proxy_that_speaks_https_and_passes_only_the_host_on(lab: BusyLab) -> None:
    """The configuration that docs/how-to/move-to-production.md gives."""
    status, said = shake_hands(lab, "lab.example.edu", Origin="https://lab.example.edu")
    assert (status, said[:2]) == (101, "0{")


@pytest.mark.parametrize("mode", ["no-cors", "cors", "same-origin", "websocket"])
def test_link_is_followed_by_going_there_only(lab: BusyLab, mode: str) -> None:
    """An image on an attacker's page, whose address is the link of the attacker's own session."""
    headers = {"Sec-Fetch-Mode": mode, "Sec-Fetch-Site": "cross-site"}
    answer = lab.client().get(f"/callback/{lab.other}", headers=headers)
    assert (answer.status_code, answer.headers.getlist("Set-Cookie")) == (403, [])
    answer = lab.client().get(f"/callback/{lab.other}", headers={**headers, "Sec-Fetch-Mode": "navigate"})
    assert answer.status_code == 302


def test_page_whose_cookie_was_exchanged_for_another_sessions_can_do_nothing_to_either(lab: BusyLab) -> None:
    """An attacker's link in a victim's browser: the page that is open stays the first session's or nobody's."""
    bench = lab.bench_of(lab.own)
    client = lab.client()
    client.get(f"/callback/{lab.own}")
    client.get(f"/callback/{lab.other}")
    with client.session_transaction() as cookie:
        assert dict(cookie) == {"weblab_session_id": lab.other}
    text = client.get("/labkit/").text
    assert f"{bench}/toy" not in text


# -- sessions can't be fixed


class ServerSide(SessionInterface):
    """Flask sessions that are kept at the server, under an id that is the cookie; as Flask-Session has them."""

    def __init__(self) -> None:
        self.kept: dict[str, dict[str, Any]] = {}
        self.made = 0

    def open_session(self, app: flask.Flask, request: flask.Request) -> Any:
        name = request.cookies.get("session") or self._new_name()
        found = Kept(self.kept.get(name, {}))
        found.name = name
        return found

    def save_session(self, app: flask.Flask, session: Any, response: flask.Response) -> None:
        self.kept[session.name] = dict(session)
        response.set_cookie("session", session.name)

    def regenerate(self, session: Any) -> None:
        self.kept.pop(session.name, None)
        session.name = self._new_name()

    def _new_name(self) -> str:
        self.made += 1
        return f"made-{self.made}"


class Kept(CallbackDict[str, Any], SessionMixin):
    name = ""


def test_cookie_that_somebody_planted_does_not_become_the_sessions(make: MakeLab) -> None:
    lab = make().up()
    lab.app.session_interface = ServerSide()
    session = lab.start()
    client = lab.client()
    client.set_cookie("session", "planted")
    assert client.get(f"/callback/{session}").status_code == 302
    cookie = client.get_cookie("session")
    assert cookie is not None
    assert cookie.value != "planted"
    assert client.post(f"/callback/{session}/poll").get_json() == {"success": True}
    thief = lab.client()
    thief.set_cookie("session", "planted")
    assert thief.get("/labkit/").status_code == 403


def test_cookie_of_a_session_is_signed_and_ids_are_long_and_random(lab: BusyLab) -> None:
    assert {len(lab.own), len(lab.other), len(lab.expired)} == {43}  # 32 random bytes
    assert len({lab.own[:8], lab.other[:8], lab.expired[:8]}) == 3
    good, strangers = lab.cookie(lab.own), lab.cookie(lab.other)
    content, _, signature = good.rpartition(".")
    another = ("b" if signature[0] == "a" else "a") + signature[1:]  # not its end: the last bits there mean nothing
    forged = [f"{content}.{another}", f"{content}.{strangers.rpartition('.')[2]}", f"{content}.", content]

    def status(cookie: str) -> int:
        return lab.app.test_client(use_cookies=False).get("/labkit/", headers={"Cookie": cookie}).status_code

    assert ([status(one) for one in forged], status(good)) == ([403] * 4, 200)
    assert [status(one) for one in forged] == [403] * 4, "also where the right one is known"


# -- how the cookie travels


def flags(lab: SmallLab, **options: Any) -> set[str]:
    (cookie,) = lab.client().get(f"/callback/{lab.start()}", **options).headers.getlist("Set-Cookie")
    return {part.strip() for part in cookie.split(";")[1:]}


def test_cookie_is_for_http_and_the_users_own_ways(make: MakeLab) -> None:
    assert flags(make().up()) == {"HttpOnly", "Path=/", "SameSite=Lax"}


def test_cookie_is_secure_where_the_link_is(make: MakeLab) -> None:
    assert "Secure" in flags(make(WEBLAB_SCHEME="https").up())


def test_cookie_that_was_set_over_https_is_secure(make: MakeLab) -> None:
    assert "Secure" in flags(make().up(), base_url="https://lab.example")


def test_cookie_of_a_framed_lab_goes_to_its_frame_only(make: MakeLab) -> None:
    assert {"HttpOnly", "Secure", "SameSite=None", "Partitioned"} <= flags(make(LABKIT_EMBED=LMS).up())


def test_flags_that_the_author_has_chosen_stay(make: MakeLab) -> None:
    assert "SameSite=Strict" in flags(make(SESSION_COOKIE_SAMESITE="Strict", LABKIT_EMBED=LMS).up())


# -- frames


def ancestors(lab: SmallLab, path: str) -> str:
    policy = lab.client().get(path, headers={"Accept": "text/html"}).headers["Content-Security-Policy"]
    return str(policy.partition("frame-ancestors ")[2])


@pytest.mark.parametrize("path", ["/labkit/", "/labkit/ended", "/callback/nobody"])
def test_only_the_lab_itself_and_the_sites_that_the_owner_names_may_frame_a_page(make: MakeLab, path: str) -> None:
    assert ancestors(make(), path) == "'self'"


def test_sites_that_the_owner_names_may_frame_pages(make: MakeLab) -> None:
    assert (
        ancestors(make(LABKIT_EMBED=f" {LMS}\n https://b.example:8443 "), "/labkit/")
        == f"'self' {LMS} https://b.example:8443"
    )


@pytest.mark.parametrize("name", ["LABKIT_EMBED", "LABKIT_ORIGINS"])
@pytest.mark.parametrize(
    "site", ["*", "lms.example.edu", "https://a/b", "https://a;script-src *", "javascript:x", "http://a,b", "'none'"]
)
def test_what_is_no_site_is_refused_when_the_lab_starts(name: str, site: str) -> None:
    with pytest.raises(InvalidConfigError, match=name):
        read_settings({name: f"{LMS} {site}"})


def test_answer_to_a_refused_logout_is_json_that_a_script_can_read(lab: BusyLab) -> None:
    answer = post(lab, f"/callback/{lab.own}/logout", lab.own, Origin="null")
    assert json.loads(answer.text) == {"success": False, "reason": "Page of another site"}
    assert answer.headers["Cache-Control"] == "no-store"
