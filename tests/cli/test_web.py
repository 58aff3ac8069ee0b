"""`labkit web`: gunicorn, which only serves."""

from __future__ import annotations

import os
import signal
import socket

import pytest
from simple_websocket import Client

from labkit.cli.web import listen, own_address, shown_url, url_of
from labkit.commands.failure import Failure
from tests.cli.program import Place, browser, cookies, request, wait_for


def test_web_serves_and_hosts_nothing(lab: Place) -> None:
    with lab.running("web", "--port", "0") as web:
        web.says("Serving at ")
        url = web.err.partition("Serving at ")[2].split()[0]
        assert request(f"{url}/weblab/sessions/api") == (200, '{"api_version": "1"}')
        for path in ("/elsewhere", "/hidden"):  # a proxy that looks at paths must not be told another one
            stranger = browser()
            stranger.addheaders = [("SCRIPT_NAME", path)]
            assert request(f"{url}/hidden/weblab/sessions/api", opener=stranger)[0] == 404
        done = lab.labkit("fake", "new", "--url", url)
        assert done.returncode == 1
        assert "Declare one in devices/, and start `labkit loop`." in done.stderr
        assert lab.processes("labkit_plugins.serial.board") == {}
        assert web.end(signal.SIGTERM) == 0


def test_worker_that_was_killed_is_replaced(lab: Place) -> None:
    with lab.running("web", "--port", "0") as web:
        web.says("web worker started")
        url = web.err.partition("Serving at ")[2].split()[0]
        worker = max(lab.processes("gunicorn"))
        os.kill(worker, signal.SIGKILL)
        wait_for(lambda: web.err.count("web worker started") == 2, "a new worker")
        assert request(f"{url}/weblab/sessions/api")[0] == 200


def test_open_page_does_not_hold_up_the_end(lab: Place) -> None:
    with lab.running("run", "--port", "0") as run:
        run.says("Try it")
        started = lab.labkit("fake", "new")
        (entry,) = (line for line in started.stdout.splitlines() if line.startswith("http"))
        student = browser()
        assert request(entry, opener=student)[0] == 200
        address = run.url.replace("http", "ws") + "/labkit/socket.io/?EIO=4&transport=websocket"
        page = Client(address, headers={"Cookie": cookies(student)})
        page.send("40")
        assert str(page.receive(timeout=30)).startswith("0{")
        assert run.end(signal.SIGINT) == 0
        wait_for(
            lambda: not lab.processes(), lambda: f"the end of {lab.processes()}"
        )  # a twin notices its parent's end
        assert "was killed" not in run.err
        assert "Traceback" not in run.err


def test_mistakes_are_said_before_gunicorn_is_started(place: Place) -> None:
    place.write("devices/bench-1.toml", "[console]\ndriver = 'seriel'\n")
    done = place.labkit("web", "--port", "0")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == "The lab was not started: 1 mistake in its configuration."
    assert "gunicorn" not in done.stderr


def test_port_that_is_taken_is_refused_or_another_one_taken() -> None:
    with listen("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(Failure, match=f"Port {port} of 127.0.0.1 is in use by another program"):
            listen("127.0.0.1", port)
        with listen("127.0.0.1", port, or_any=True) as second:
            assert second.getsockname()[1] != port


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", "http://127.0.0.1:{}"), ("0.0.0.0", "http://127.0.0.1:{}"), ("localhost", "http://127.0.0.1:{}")],
)
def test_url_is_one_that_a_browser_on_this_machine_takes(host: str, expected: str) -> None:
    with listen(host, 0) as listening:
        assert url_of(listening) == expected.format(listening.getsockname()[1])


def test_url_that_is_shown_is_of_use_at_another_computer_where_it_listens_on_all_addresses() -> None:
    with listen("0.0.0.0", 0) as everywhere, listen("127.0.0.1", 0) as here:
        expected = own_address(socket.AF_INET) or socket.gethostname()
        assert shown_url(everywhere) == f"http://{expected}:{everywhere.getsockname()[1]}"
        assert shown_url(here) == url_of(here)


def test_own_address_is_one_of_this_machine_and_no_inner_one() -> None:
    found = own_address(socket.AF_INET)
    if found:  # a machine without a network has none
        assert not found.startswith("127.")
        with socket.socket() as probe:
            probe.bind((found, 0))
