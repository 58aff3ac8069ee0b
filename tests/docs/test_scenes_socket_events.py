"""docs/examples/socket-events: the lab's own events move the board, and none of them runs once the session is over."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import socketio
from playwright.sync_api import Browser, expect

from tests.cli.program import wait_for
from tests.client_in_order import ClientInOrder
from tests.docs.running_scene import Scene, page_of, scene
from tests.flows.people import Student

ALL_OFF = {1: False, 2: False, 3: False, 4: False}


class Lamps:
    """The page's socket at the lab's own events. Use it as a context."""

    def __init__(self, port: int, student: Student | None):
        self.shown: dict[int, bool] = {}
        self.disconnects: list[str] = []
        self.client = ClientInOrder(reconnection=False, request_timeout=30)
        self.client.on("lamp", lambda told: self.shown.update({told["lamp"]: told["on"]}))
        self.client.on("disconnect", lambda reason: self.disconnects.append(str(reason)))
        self._url = f"http://127.0.0.1:{port}"
        self._cookies = student.cookies if student else {}

    def __enter__(self) -> Lamps:
        cookies = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
        try:
            self.client.connect(self._url, headers={"Cookie": cookies}, transports=["websocket"], wait_timeout=30)
        except BaseException:
            self.client.eio.end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.client.eio.end()

    def switch(self, lamp: int, on: bool = True) -> None:
        self.client.emit("switch", {"lamp": lamp, "on": on})

    def wait_shown(self, lamps: dict[int, bool]) -> None:
        wait_for(lambda: self.shown == lamps, lambda: f"{lamps}, there is {self.shown}")


@pytest.fixture(scope="module")
def lab() -> Iterator[Scene]:
    with scene("socket-events") as running:
        running.run("--verbose")
        yield running


def test_event_moves_the_board_and_the_page_is_told_what_the_board_says(lab: Scene) -> None:
    student = lab.student()
    with Lamps(lab.port, student) as page:
        page.wait_shown(ALL_OFF)
        page.switch(2)
        page.wait_shown({**ALL_OFF, 2: True})
        assert 0 < page.client.call("still here", timeout=30) < 600
        with Lamps(lab.port, student) as second:
            second.wait_shown({**ALL_OFF, 2: True})
    lab.dispose(student)


def test_socket_without_a_session_is_refused(lab: Scene) -> None:
    page = Lamps(lab.port, None)
    with pytest.raises(socketio.exceptions.ConnectionError), page:
        pass
    assert page.shown == {}


def test_event_after_the_end_of_the_session_disconnects_and_its_handler_does_not_run(lab: Scene) -> None:
    (program,) = lab.programs
    student = lab.student()
    with Lamps(lab.port, student) as page:
        page.switch(4)
        page.wait_shown({**ALL_OFF, 4: True})
        program.says("lamp 4 is switched on")
        lab.dispose(student)
        assert page.disconnects == []
        page.switch(1)
        wait_for(lambda: page.disconnects, "the end of the connection")
    after = lab.student("bob")
    with Lamps(lab.port, after) as page:
        page.wait_shown(ALL_OFF)  # lamp 4 too: the board was made safe
        page.switch(3)
        page.wait_shown({**ALL_OFF, 3: True})
    lab.dispose(after)
    program.says("lamp 3 is switched on")
    assert "lamp 1 is switched" not in program.printed


def test_page_has_switches_and_leaves_when_the_session_is_over(lab: Scene, browser: Browser) -> None:
    student = lab.student()
    with page_of(browser, student, "/") as page:
        lamp = page.get_by_role("button", name="Lamp 2")
        expect(page.get_by_role("status")).to_contain_text("seconds left")
        lamp.click()
        expect(lamp).to_have_attribute("aria-pressed", "true")
        lamp.click()
        expect(lamp).to_have_attribute("aria-pressed", "false")
        lab.dispose(student)
        page.wait_for_url("**/labkit/ended")
