"""docs/examples/user-loader: a student's row of the lab's own database is there in each of their sessions."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.docs.running_scene import Scene, page_of, scene, submit


@pytest.fixture(scope="module")
def lab() -> Iterator[Scene]:
    with scene("user-loader") as running:
        running.run()
        yield running


def test_what_a_student_wrote_survives_into_the_next_session_and_nobody_else_sees_it(lab: Scene) -> None:
    first = lab.student("ada")
    assert "This is your first visit." in first.ask("GET", "/")[1]
    assert submit(first, "/", notes="4.7 kOhm is enough")[0] == 302
    assert "4.7 kOhm is enough" in first.ask("GET", "/")[1]
    other = lab.student("bob")  # at the same time: this lab has no bench to wait for
    lab.dispose(first)
    assert first.ask("GET", "/")[0] == 302  # back to where she came from

    page = other.ask("GET", "/")[1]
    assert "Lab notebook of Bob" in page
    assert "4.7 kOhm" not in page
    again = lab.student("ada")
    page = again.ask("GET", "/")[1]
    assert "This is visit number 2." in page
    assert "4.7 kOhm is enough" in page
    for student in (other, again):
        lab.dispose(student)

    with sqlite3.connect(lab.folder / "instance" / "users.db") as database:
        rows = database.execute("select username_unique, visits from laboratory_user order by 1").fetchall()
    database.close()
    assert rows == [("ada@university", 2), ("bob@university", 1)]


def test_page_saves_what_is_written_and_lets_the_student_leave(lab: Scene, browser: Browser) -> None:
    student = lab.student("grace")
    with page_of(browser, student, "/") as page:
        page.get_by_label("Your notes").fill("a moth in relay 70")
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_label("Your notes")).to_have_value("a moth in relay 70")
        page.get_by_role("button", name="Leave").click()
        expect(page.get_by_role("heading", level=1)).to_contain_text("logged out")
    assert lab.rlms.status(student.session_id) < 0
