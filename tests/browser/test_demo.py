"""The demo as its visitors see it: the real program, the real store, loop, board and page, in a real browser."""

from __future__ import annotations

import contextlib
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from labkit.store.connection import Store
from tests.cli.program import Place, wait_for
from tests.flows.passed_time import bring_end_near

PATIENCE = 60_000.0  # milliseconds; only against a test that hangs


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with tempfile.TemporaryDirectory(prefix="lkd-", dir="/tmp") as temporary:
        folder = tmp_path / "lab"
        folder.mkdir()
        yield Place(folder, Path(temporary))


def screen(page: Page) -> str:
    """The text of the terminal."""
    return str(
        page.evaluate(
            """() => {
                const terminal = [...document.querySelectorAll("*")].find((one) => one.terminal)?.terminal;
                if (!terminal) return "";
                const lines = [...Array(terminal.buffer.active.length).keys()];
                return lines.map((n) => terminal.buffer.active.getLine(n).translateToString(true)).join("\\n");
            }"""
        )
    )


def says(page: Page, text: str) -> None:
    page.wait_for_function(
        """(text) => {
            const terminal = [...document.querySelectorAll("*")].find((one) => one.terminal)?.terminal;
            if (!terminal) return false;
            const lines = [...Array(terminal.buffer.active.length).keys()];
            return lines.some((n) => terminal.buffer.active.getLine(n).translateToString(true).includes(text));
        }""",
        arg=text,
        timeout=PATIENCE,
    )


def start(page: Page) -> None:
    """Ask for a session, and wait for the page that comes of it."""
    with page.expect_navigation():
        page.get_by_test_id("start").click()


def end_soon(place: Place) -> None:
    """Bring the time of the only session to its end: a busy machine takes longer for two pages than a test can wait."""
    (socket,) = place.temporary.rglob("store.sock")
    with contextlib.closing(Store(f"unix://{socket}", "lab")) as store:
        (session,) = store.command("ZRANGE", store.keys["deadlines"], 0, -1)
        bring_end_near(store, session.decode())


def test_a_student_drives_the_board_until_the_time_is_over_and_the_next_one_gets_in(
    place: Place, browser: Browser
) -> None:
    with place.running("demo", "--port", "0", "--time", "900") as demo:
        demo.says("Student")
        link = f"{demo.url}/labkit/demo"
        first, second = browser.new_context(), browser.new_context()
        student, visitor = first.new_page(), second.new_page()
        for page in (student, visitor):
            page.set_default_timeout(PATIENCE)
        student.goto(link)
        student.get_by_test_id("start").click()
        student.wait_for_selector(".xterm")
        says(student, ">")  # the board has booted and waits
        student.click(".xterm-screen")
        student.keyboard.type("led 1 on\r")
        says(student, "led 1 is on")
        visitor.goto(link)
        visitor.get_by_test_id("start").click()
        refusal = visitor.get_by_test_id("refusal").inner_text()
        assert re.match(r"bench-1 is reserved by another session since [\d:]+ UTC until [\d:]+ UTC", refusal)
        assert "student" not in refusal
        text = screen(student)
        student.reload()
        says(student, "led 1 is on")
        wait_for(
            lambda: student.wait_for_timeout(50) or screen(student).strip() == text.strip(), "all of the text again"
        )
        end_soon(place)
        expect(student.get_by_test_id("ended")).to_be_visible(timeout=PATIENCE)
        assert "time" in student.get_by_test_id("ended").inner_text().lower()
        assert student.get_by_test_id("back").get_attribute("href") == "/labkit/demo"
        start(visitor)
        while visitor.get_by_test_id("refusal").is_visible():  # the bench may just be being made safe
            start(visitor)
        visitor.wait_for_selector(".xterm")
        says(visitor, ">")
        assert "led 1 is on" not in screen(visitor)  # nothing of the one before
        visitor.click(".xterm-screen")
        visitor.keyboard.type("led 1\r")
        says(visitor, "led 1 is off")  # the board was made safe
        visitor.get_by_test_id("logout").click()
        expect(visitor.get_by_test_id("ended")).to_be_visible()
        first.close()
        second.close()
    place.wait_until_nothing_is_left()
