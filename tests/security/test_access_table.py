"""Everybody tries everything: each cell of `access_table.py`, on a real lab with a real store and real sockets."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import websocket
from werkzeug.test import TestResponse

import labkit
from tests.security.access_table import EVENTS, METHODS, NO_EVENTS, ROUTES, WHO, Answer, Row, headers_of
from tests.security.busy_lab import BusyLab
from tests.toy import wait_until

ROWS = [(endpoint, row) for endpoint, rows in ROUTES.items() for row in rows]
ADDRESSES = sorted({(endpoint, row.path) for endpoint, row in ROWS})
RLMS_BASE = "/weblab/sessions"


@pytest.fixture(name="lab")
def ready_lab(lab: BusyLab) -> BusyLab:
    return lab.ready()


def ask(lab: BusyLab, who: str, method: str, row: Row) -> TestResponse:
    """Ask as somebody, and take the whole answer in."""
    known = getattr(lab, who, "nobody") if who in ("own", "other", "expired") else "nobody"
    path = row.path.format(own=lab.own, known=known)
    body = None if row.body is None else json.dumps(row.body)
    client = lab.app.test_client(use_cookies=False)
    return client.open(path, method=method, data=body, headers=headers_of(lab, who), buffered=True)


def check(answer: TestResponse, wanted: Answer) -> None:
    shown = answer.text + answer.headers.get("Location", "")
    assert (answer.status_code, wanted.says in shown) == (wanted.status, True), shown


# -- the table is whole


def test_every_route_and_method_has_a_row_and_every_row_its_route(lab: BusyLab) -> None:
    served = {
        (rule.endpoint, rule.rule, method)
        for rule in lab.app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert {(endpoint, rule_of(lab, row), row.method) for endpoint, row in ROWS} == served


def rule_of(lab: BusyLab, row: Row) -> str:
    """The route by which the app itself answers what a row asks."""
    path = row.path.format(own=lab.own, known=lab.own)
    rule, _ = lab.app.url_map.bind("lab.example").match(path, method=row.method, return_rule=True)
    return rule.rule


def test_lab_of_the_table_has_every_blueprint_of_labkit(lab: BusyLab) -> None:
    source = "".join(path.read_text() for path in Path(labkit.__file__).parent.rglob("*.py"))
    made = set(re.findall(r'Blueprint\(\s*"(\w+)"', source))
    assert made
    assert made == set(lab.app.blueprints)


def test_every_event_has_a_row_and_every_row_its_event(lab: BusyLab) -> None:
    server = lab.weblab._sockets._server  # type: ignore[union-attr]
    assert (set(server.handlers), server.namespace_handlers) == ({"/"}, {})
    assert set(server.handlers["/"]) == set(EVENTS) | set(NO_EVENTS)


# -- routes


@pytest.mark.parametrize("row", [row for _, row in ROWS], ids=lambda row: f"{row.method} {row.path}")
def test_everybody_gets_what_the_row_says_and_no_more(lab: BusyLab, row: Row) -> None:
    for who in WHO:
        wanted = row.answer_for(who)
        before = lab.ready().snapshot()
        check(ask(lab, who, row.method, row), wanted)
        assert (lab.snapshot() != before) is wanted.does, who


@pytest.mark.parametrize("row", [row for _, row in ROWS if row.method == "GET"], ids=lambda row: row.path)
def test_head_gets_the_status_of_get_and_does_nothing(lab: BusyLab, row: Row) -> None:
    before = lab.snapshot()
    for who in WHO:
        answer = ask(lab, who, "HEAD", row)
        assert (answer.status_code, answer.text) == (row.answer_for(who).status, ""), who
    assert lab.snapshot() == before


@pytest.mark.parametrize(("endpoint", "path"), ADDRESSES)
def test_no_other_method_does_anything(lab: BusyLab, endpoint: str, path: str) -> None:
    rows = [row for row in ROUTES[endpoint] if row.path == path]
    known = {row.method for each, row in ROWS if endpoint == each or row.path == path}
    known |= {"HEAD"} if "GET" in known else set()
    before = lab.snapshot()
    for method in METHODS:
        for who in WHO if method not in known else ():
            answer = ask(lab, who, method, rows[0])
            allowed = {200} if method == "OPTIONS" else {405}
            if path.startswith(RLMS_BASE):
                allowed = {200, 404, 405} if who == "rlms" else {401}
            assert answer.status_code in allowed, (method, who, answer.text)
            assert "Set-Cookie" not in answer.headers
    assert lab.snapshot() == before


def test_page_of_another_session_shows_nothing_of_this_one(lab: BusyLab) -> None:
    (row,) = ROUTES["labkit.page"]
    for who, stranger in (("own", "other"), ("other", "own")):
        text = ask(lab, who, "GET", row).text
        assert f"{lab.bench_of(getattr(lab, who))}/toy" in text
        assert f"{lab.bench_of(getattr(lab, stranger))}/toy" not in text


# -- events


@contextlib.contextmanager
def link_of(lab: BusyLab, who: str) -> Iterator[websocket.WebSocket]:
    """A WebSocket to the lab, opened by somebody, that speaks frames; it has said nothing yet."""
    headers = headers_of(lab, who)
    link = websocket.create_connection(
        f"ws://127.0.0.1:{lab.port}/labkit/socket.io/?EIO=4&transport=websocket", timeout=30, header=headers
    )
    assert link.sock is not None
    with contextlib.closing(link.sock):
        assert str(link.recv()).startswith("0{")
        yield link


def let_in(link: websocket.WebSocket) -> bool:
    """Ask to come in."""
    link.send("40")
    while not (said := str(link.recv())).startswith(("40{", "44{")):
        pass
    return said.startswith("40{")


def event_of(lab: BusyLab, name: str) -> str:
    """The frame of an event, which wants an answer. It is aimed at the bench of the session that goes on."""
    asks = EVENTS[name].asks
    values = [name] if asks is None else [name, asks]
    return "421" + json.dumps(values).replace("{bench}", lab.bench_of(lab.own))


def answer_to(link: websocket.WebSocket, frame: str) -> Any:
    """The answer to an event; None: none has come when all that was sent before was dealt with."""
    link.send(frame)
    link.send("9")  # makes no sense, so that the connection ends
    said = ""
    try:
        while said := str(link.recv()):
            if said.startswith("431"):
                return json.loads(said.removeprefix("431"))[0]
    except websocket.WebSocketTimeoutException:
        raise
    except (websocket.WebSocketException, ConnectionError):
        return None
    return None


STRANGERS = [who for who in WHO if who not in ("own", "other")]


@pytest.mark.parametrize("name", EVENTS)
def test_event_of_who_has_no_session_that_goes_on_does_nothing(lab: BusyLab, name: str) -> None:
    before = lab.snapshot()
    for who in STRANGERS:
        with link_of(lab, who) as link:
            assert not let_in(link), who
            assert answer_to(link, event_of(lab, name)) is None, who
    assert lab.snapshot() == before


@pytest.mark.parametrize("name", EVENTS)
def test_event_before_coming_in_does_nothing(lab: BusyLab, name: str) -> None:
    before = lab.snapshot()
    for who in WHO:
        with link_of(lab, who) as link:
            assert answer_to(link, event_of(lab, name)) is None, who
    assert lab.snapshot() == before


@pytest.mark.parametrize("name", EVENTS)
def test_event_of_another_session_does_nothing_to_this_one(lab: BusyLab, name: str) -> None:
    mine = lab.bench_of(lab.own)
    before = part_of(lab, lab.own, mine)
    with link_of(lab, "other") as link:
        assert let_in(link)
        answer = answer_to(link, event_of(lab, name)) if name != "call" else called(link, event_of(lab, name))
    assert answer["ok"] is (EVENTS[name].other == "own"), answer
    assert part_of(lab, lab.own, mine) == before


@pytest.mark.parametrize("name", EVENTS)
def test_event_of_the_sessions_own_page_is_done(lab: BusyLab, name: str) -> None:
    with link_of(lab, "own") as link:
        assert let_in(link)
        answer = called(link, event_of(lab, name))
    assert answer["ok"], answer
    if EVENTS[name].ends:
        wait_until(lambda: lab.read(lab.own).exited or lab.state(lab.own) != "active", "the end")
    if name == "call":
        assert lab.worlds[f"{lab.bench_of(lab.own)}/toy"].acts[-1] == "word"


@pytest.mark.parametrize("name", EVENTS)
def test_event_of_a_page_whose_session_has_just_ended_does_nothing(lab: BusyLab, name: str) -> None:
    frame = event_of(lab, name)
    with link_of(lab, "own") as link:
        assert let_in(link)
        lab.end(lab.own)
        before = lab.snapshot()
        answer = answer_to(link, frame)
    assert answer is None or (answer["ok"], answer["error"]["kind"]) == (False, "inactive")
    assert lab.snapshot() == before


def called(link: websocket.WebSocket, frame: str) -> Any:
    """The answer to an event, from a page that stays; a call is answered from another thread."""
    link.send(frame)
    while not (said := str(link.recv())).startswith("431"):
        assert said
    return json.loads(said.removeprefix("431"))[0]


def part_of(lab: BusyLab, session: str, bench: str) -> dict[str, Any]:
    """What the store keeps of one session and its bench, and what has reached its device."""
    record = {key: value for key, value in lab.read(session).fields.items() if key not in ("now", "last_poll")}
    view = next(view for name, view in lab.benches().items() if name == bench)
    return {"record": record, "devices": view.devices, "acts": list(lab.worlds[f"{bench}/toy"].acts)}
