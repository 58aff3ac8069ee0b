"""`labkit web` that has as many pages open as its threads leave room for: a further one is told so, and never waits."""

from __future__ import annotations

import contextlib
import http.client
from urllib.parse import urlsplit

import simple_websocket

from tests.cli.program import Place, browser, cookies, request, wait_for

PATH = "/labkit/socket.io/?EIO=4&transport=websocket"
OPENING = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


def entry(lab: Place, url: str) -> str:
    """The link of a new user, without a bench."""
    started = lab.labkit("fake", "new", "--url", url, LABKIT_ACQUIRE="false")
    (link,) = (line for line in started.stdout.splitlines() if line.startswith("http"))
    return link


def answer_to_handshake(url: str, cookie: str) -> tuple[int, str | None]:
    """Ask for a WebSocket: status and when to ask again."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    with contextlib.closing(connection):
        connection.request("GET", PATH, headers={**OPENING, "Cookie": cookie})
        answer = connection.getresponse()
        return answer.status, answer.headers["Retry-After"]


def test_page_too_many_is_told_that_the_lab_is_full(lab: Place) -> None:
    settings = {"LABKIT_ACQUIRE": "false", "WEBLAB_TIMEOUT": "90"}  # ada's page says nothing while ben comes
    with lab.running("web", "--port", "0", "--threads", "2", **settings) as web:
        web.says("web worker started")
        url = web.err.partition("Serving at ")[2].split()[0]
        address = url.replace("http", "ws") + PATH
        ada, ben = browser(), browser()
        assert request(entry(lab, url), opener=ada)[0] == 200
        page = simple_websocket.Client(address, headers={"Cookie": cookies(ada)})
        assert str(page.receive(timeout=30)).startswith("0{")

        status, text = request(entry(lab, url), opener=ben)
        assert (status, "The lab is full" in text) == (503, True)
        assert answer_to_handshake(url, cookies(ben)) == (503, "10")

        page.close()
        wait_for(lambda: request(f"{url}/labkit/", opener=ben)[0] == 200, "a place for the next page")
        assert request(f"{url}/labkit/", opener=ada)[0] == 200
