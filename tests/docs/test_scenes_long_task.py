"""docs/examples/long-task: a task tells two pages how far it is, and stops when it is asked to, by whomever."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.cli.program import wait_for
from tests.docs.running_scene import Scene, page_of, scene
from tests.flows.people import Student

SHIPPED, ALL = 40, 200
"""Readings: of the example, and here, where a page may be opened in the middle of them."""


@pytest.fixture(scope="module")
def lab() -> Iterator[Scene]:
    with scene("long-task") as running:
        code = (running.folder / "lab.py").read_text("utf-8")
        assert f"READINGS = {SHIPPED}\n" in code
        (running.folder / "lab.py").write_text(code.replace(f"READINGS = {SHIPPED}\n", f"READINGS = {ALL}\n"), "utf-8")
        running.run()
        yield running


def progress(student: Student, method: str = "GET", path: str = "/progress") -> dict[str, Any]:
    status, answer, _ = student.ask(method, path)
    assert status == 200, answer
    return dict(answer)


def test_task_says_how_far_it_is_and_stops_when_it_is_asked_to(lab: Scene) -> None:
    student = lab.student()
    assert progress(student)["status"] is None
    assert progress(student, "POST", "/measure")["status"] in ("submitted", "running")
    wait_for(lambda: len(progress(student)["readings"]) > 2, "readings")
    again = progress(student, "POST", "/measure")  # a second one, which does not push the first one aside
    assert again["status"] == "running"
    assert len(again["readings"]) > 2
    assert 0 < again["part"] < 1
    assert all(20 < celsius < 30 for celsius in again["readings"])
    progress(student, "POST", "/stop")
    wait_for(lambda: progress(student)["status"] == "done", "the end of the task")
    assert progress(student)["part"] < 1
    lab.dispose(student)


def test_end_of_the_session_stops_the_task_and_what_was_measured_stays(lab: Scene) -> None:
    student = lab.student()
    progress(student, "POST", "/measure")
    wait_for(lambda: len(progress(student)["readings"]) > 2, "readings")
    lab.dispose(student)
    left = progress(student)
    assert (left["active"], left["status"], left["error"]) == (False, "done", None)
    assert 2 < len(left["readings"]) < ALL
    assert student.ask("POST", "/measure")[0] == 302  # out


def test_own_page_and_ready_page_show_the_progress(lab: Scene, browser: Browser) -> None:
    student = lab.student()
    with page_of(browser, student, "/") as page:
        page.get_by_role("button", name="Measure").click()
        expect(page.get_by_role("status")).to_contain_text("Measuring ...")
        expect(page.get_by_label("How far")).not_to_have_attribute("value", "0")
        with page.expect_popup() as opened:
            page.get_by_role("link", name="The board's own page").click()
        ready = opened.value
        expect(ready.get_by_test_id("tasks")).to_contain_text("measure", ignore_case=True)
        expect(ready.get_by_test_id("tasks").get_by_role("progressbar")).to_be_visible()
        page.get_by_role("button", name="Stop").click()
        expect(page.get_by_role("status")).to_contain_text("Done.")
        lab.dispose(student)
        expect(page.get_by_role("status")).to_contain_text("Your session is over")
        expect(ready.get_by_test_id("ended")).to_be_visible()
