"""A web process that has as many pages open as it takes: a further one is told so at once."""

from __future__ import annotations

from typing import Any

import pytest
import websocket

from labkit.web.sockets import PATH
from tests.store.feed_bench import GUARD, FeedBench, wait_until
from tests.store.feed_bench import bench as bench
from tests.web.socket_lab import SocketLab
from tests.web.socket_lab import lab as lab


def test_a_page_too_many_is_told_so_at_once_and_gets_in_when_another_one_has_gone(
    bench: FeedBench, lab: SocketLab
) -> None:
    session, _ = bench.start()
    lab.sockets.places.fit_into(3)
    first, second = lab.enter(session), lab.enter(session)
    assert lab.sockets.places.full
    status, headers = handshake(lab, session)
    assert (status, headers["Retry-After"]) == (503, "10")
    assert first.ask("poll")["ok"]
    second.close()
    wait_until(lambda: not lab.sockets.places.full)
    third = lab.enter(session)
    assert third.ask("poll")["ok"]


def test_only_a_session_that_has_no_page_here_finds_the_lab_full(bench: FeedBench, lab: SocketLab) -> None:
    session, _ = bench.start()
    lab.sockets.places.fit_into(2)
    assert not lab.sockets.full_for("another")
    lab.enter(session)
    assert lab.sockets.full_for("another")
    assert not lab.sockets.full_for(session)  # it may be reloading the page that takes the place


def test_requests_that_open_no_socket_take_no_place(bench: FeedBench, lab: SocketLab) -> None:
    session, _ = bench.start()
    lab.sockets.places.fit_into(2)
    for _ in range(3):
        assert lab.app.test_client().get(f"/{PATH}/?EIO=4&transport=websocket").status_code == 400
    assert lab.enter(session).ask("poll")["ok"]


def handshake(lab: SocketLab, session: str) -> tuple[int, Any]:
    """Try to open a WebSocket; status and headers of the refusal."""
    where = f"{lab.url.replace('http', 'ws')}/{PATH}/?EIO=4&transport=websocket"
    with pytest.raises(websocket.WebSocketBadStatusException) as refused:
        websocket.create_connection(where, cookie=lab.cookie(session), timeout=GUARD)
    headers = {name.title(): value for name, value in (refused.value.resp_headers or {}).items()}
    return refused.value.status_code, headers
