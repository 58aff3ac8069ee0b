"""labkit's own pages: the ready page, the page after the end, panels, headers. A lab's own stay untouched."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import render_template_string
from jinja2 import StrictUndefined

from labkit import requires_active
from labkit.sessions import start_session
from labkit.store.sessions import SessionState
from labkit.testing.store import StoreServer
from labkit.web.start_request import parse_start
from tests.small_lab import SmallLab
from tests.toy import World, wait_until

MakeLab = Callable[..., SmallLab]


def page_data(html: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="page-data">(.*?)</script>', html, re.DOTALL)
    assert found
    return dict(json.loads(found[1]))


def test_page_shows_the_session_and_its_devices(make: MakeLab) -> None:
    lab = make(devices=["toy", "other"], LABKIT_TITLE="Wind tunnel").up()
    session = lab.start(server={"request.full_name": "Ada Lovelace"})
    answer = lab.student(session).get("/labkit/")
    data = page_data(answer.text)
    assert answer.status_code == 200
    assert (data["title"], data["username"], data["back"]) == ("Wind tunnel", "Ada Lovelace", "http://rlms.invalid/b")
    assert data["session"]["state"] == "active"
    assert 0 < data["session"]["time_left"] <= 60
    assert data["session"]["max_date"] - data["session"]["started"] == pytest.approx(60)
    assert data["benches"] == ["bench-1"]
    assert [device["name"] for device in data["devices"]] == ["bench-1/toy", "bench-1/other"]
    toy = data["devices"][0]
    assert (toy["kind"], toy["condition"], toy["panel"]) == ("toy", "ok", None)
    assert set(toy["commands"]) == {"write", "steps"}
    assert toy["feeds"]["received"]["type"] == "bytes"
    assert session not in answer.text
    assert "world-" not in answer.text  # options are never published


def test_page_names_the_title_of_the_bench(make: MakeLab, tmp_path: Path) -> None:
    (tmp_path / "devices").mkdir()
    titled = f'[bench]\ntitle = "Bench by the window"\n\n[toy]\ndriver = "toy"\nworld = "{World().name}"\n'
    (tmp_path / "devices" / "bench-2.toml").write_text(titled)
    lab = make(devices=["toy"]).up()
    lab.wait_free("bench-2")
    lab.start()  # has bench-1
    html = lab.student(lab.start()).get("/labkit/").text
    assert page_data(html)["benches"] == ["Bench by the window"]
    assert '<p data-testid="facts">Bench by the window · ada</p>' in html


def test_page_of_a_lab_without_devices(lab: SmallLab) -> None:
    assert page_data(lab.student(lab.start()).get("/labkit/").text)["devices"] == []


def test_page_says_that_the_lab_is_full_where_it_could_have_no_socket(lab: SmallLab) -> None:
    student = lab.student(lab.start())
    assert student.get("/labkit/").status_code == 200
    sockets = lab.weblab._sockets
    assert sockets is not None
    sockets.places.fit_into(2)
    with sockets.places.one():
        answer = student.get("/labkit/")
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "10")
        assert "The lab is full" in answer.text
        assert 'data-testid="retry"' in answer.text
        assert "Content-Security-Policy" in answer.headers
        assert answer.headers["Cache-Control"] == "no-store"
    assert student.get("/labkit/").status_code == 200


BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


@pytest.mark.parametrize("path", ["/labkit/", "/labkit/ended", "/callback/no-such-session", "/guarded"])
def test_stranger_gets_a_page_that_says_why(make: MakeLab, path: str) -> None:
    lab = make(LABKIT_TITLE="Wind tunnel")
    lab.view("/guarded", requires_active(lambda: "mine"))
    answer = lab.client().get(path, headers=BROWSER)
    assert (answer.status_code, answer.mimetype) == (403, "text/html")
    assert 'data-kind="forbidden"' in answer.text
    assert "Access forbidden" in answer.text
    assert "Wind tunnel" in answer.text
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize("accept", [None, "*/*", "application/json", "text/html;q=0"])
def test_program_without_a_session_gets_two_words(lab: SmallLab, accept: str | None) -> None:
    for path in ("/labkit/", "/labkit/ended", "/callback/no-such-session"):
        answer = lab.client().get(path, headers={"Accept": accept} if accept else {})
        assert (answer.status_code, answer.text) == (403, "Access forbidden")


def test_link_for_strangers_goes_before_the_page(make: MakeLab) -> None:
    lab = make(WEBLAB_UNAUTHORIZED_LINK="/elsewhere")
    assert lab.client().get("/labkit/", headers=BROWSER).location == "/elsewhere"


def test_page_after_the_end_leads_to_why(lab: SmallLab) -> None:
    session = lab.start()
    student = lab.student(session)
    assert student.get("/labkit/ended").location == "/labkit/"
    lab.lab.sessions.exit(session)
    assert student.get("/labkit/").location == "/labkit/ended"
    lab.wait_state(session, SessionState.EXPIRED)
    answer = student.get("/labkit/ended")
    assert answer.status_code == 200
    assert 'data-reason="logout"' in answer.text
    assert 'href="http://rlms.invalid/b"' in answer.text


@pytest.mark.parametrize("back", ["javascript:alert(1)", "data:text/html,x", "JavaScript:alert(1)", None])
def test_way_back_is_never_a_script(lab: SmallLab, back: str | None) -> None:
    """Not even where a start did not refuse it: the page has a look of its own."""
    asked = parse_start({"server_initial_data": {"request.username": "ada", "priority.queue.slot.length": 60}})
    session = start_session(lab.lab, dataclasses.replace(asked, user={**asked.user, "back": back}))
    student = lab.student(session)
    assert page_data(student.get("/labkit/").text)["back"] == ""
    lab.dispose(session)
    answer = student.get("/labkit/ended").text
    assert "alert" not in answer
    assert 'data-testid="back"' not in answer


def test_names_can_not_break_the_page(lab: SmallLab) -> None:
    name = "</script><script>alert(1)</script>"
    html = lab.student(lab.start(server={"request.full_name": name})).get("/labkit/").text
    assert "<script>alert(1)" not in html
    assert page_data(html)["username"] == name


def test_own_pages_have_their_headers_and_the_labs_do_not(make: MakeLab) -> None:
    lab = make()
    lab.view("/mine", lambda: "mine")
    student = lab.student(lab.start())
    own, mine = student.get("/labkit/"), student.get("/mine")
    assert "default-src 'none'" in own.headers["Content-Security-Policy"]
    assert (own.headers["X-Content-Type-Options"], own.headers["Cache-Control"]) == ("nosniff", "no-store")
    assert not {"Content-Security-Policy", "X-Content-Type-Options", "Referrer-Policy"} & set(mine.headers.keys())


def test_static_files_are_served_and_nothing_beside_them(lab: SmallLab) -> None:
    with lab.client().get("/labkit/static/page.js") as answer:
        assert answer.mimetype == "text/javascript"
    assert lab.client().get("/labkit/static/../pages.py").status_code == 404


def test_panel_module_comes_from_its_plugin(lab: SmallLab) -> None:
    with lab.client().get("/labkit/panels/serial.js") as answer:
        assert (answer.status_code, answer.mimetype) == (200, "text/javascript")
    assert lab.client().get("/labkit/panels/nothing.js").status_code == 404
    assert lab.client().get("/labkit/panels/..%2f__init__.js").status_code == 404


def test_device_that_goes_is_shown_offline(make: MakeLab) -> None:
    lab = make(devices=["toy"]).up()
    student = lab.student(lab.start())
    lab.world.offline()
    lab.world.toys[-1].link.lost("pulled out")

    def offline() -> bool:
        (toy,) = page_data(student.get("/labkit/").text)["devices"]
        return bool(toy["condition"] == "offline" and toy["reason"])

    wait_until(offline, "the page")


def test_store_that_is_away_is_said(tmp_path: Path) -> None:
    with StoreServer() as server, SmallLab(tmp_path, server.url) as lab:
        student = lab.up().student(lab.start())
        server.stop()
        for path in ("/labkit/", "/labkit/ended"):
            answer = student.get(path)
            assert answer.status_code == 503
            assert "can&#39;t reach its store" in answer.text or "can't reach its store" in answer.text


def test_lab_may_have_other_delimiters_and_strict_templates(make: MakeLab) -> None:
    lab = make()
    lab.app.jinja_env.variable_start_string, lab.app.jinja_env.variable_end_string = "[[", "]]"
    lab.app.jinja_env.undefined = StrictUndefined
    lab.app.jinja_env.autoescape = False
    lab.view("/t", lambda: render_template_string("[[ weblab_user.username ]] {{ 1 }}"))
    student = lab.student(lab.start(server={"request.full_name": "</title><b>"}))
    assert page_data(student.get("/labkit/").text)["username"] == "</title><b>"
    browser = {"Accept": "text/html"}
    assert "<h1>This page belongs to a session</h1>" in lab.client().get("/labkit/", headers=browser).text
    assert student.get("/t").text == "ada {{ 1 }}"
