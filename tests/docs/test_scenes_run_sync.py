"""docs/examples/run-sync: what on_start and on_dispose wait for is done by the loop, on the session's own board."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.cli.program import wait_for
from tests.docs.running_scene import Scene, page_of, scene
from tests.flows.people import Student


@pytest.fixture(scope="module")
def lab() -> Iterator[Scene]:
    with scene("run-sync") as running:
        running.run()
        yield running


def page_text(student: Student) -> str:
    status, page, _ = student.ask("GET", "/")
    assert status == 200
    return str(page)


def test_board_is_prepared_by_the_loop_before_the_student_is_let_in(lab: Scene) -> None:
    student = lab.student(pattern="0110")
    page = page_text(student)
    assert 'aria-label="0110"' in page
    found = re.search(r"Prepared by process (\d+), the loop. Process (\d+), of the web", page)
    assert found is not None
    loop, web = map(int, found.groups())
    assert loop == lab.place.process(" loop ")
    assert web in lab.place.processes("gunicorn")
    lab.dispose(student)


def test_start_whose_task_fails_lets_nobody_in_and_the_next_one_gets_the_board(lab: Scene) -> None:
    lab.fails = True
    status, answer = lab.rlms.start(client={"pattern": 1010})  # a number, where the task takes text
    assert 500 <= status < 600
    assert answer["error"] is True
    assert "The board could not be prepared" in answer["message"]
    wait_for(lambda: lab.rlms.start()[0] == 200, "the board, which has to be made safe first")
    lab.labkit("release", "bench-1")


def test_report_is_written_on_the_sessions_own_board_after_the_student_has_left(lab: Scene, browser: Browser) -> None:
    student = lab.student("../ada")
    with student.socket() as terminal:
        terminal.subscribe("bench-1/console")
        assert terminal.write("bench-1/console", b"led 2 on\r")["ok"]
        terminal.wait_bytes(b"led 2 is on")
    with page_of(browser, student, "/") as page:
        expect(page.get_by_role("img")).to_have_attribute("aria-label", "1010")
        page.get_by_role("button", name="I have finished").click()
        report = page.locator("pre")
        expect(report).to_contain_text("left     1110")
        written = report.inner_text().strip()
    lab.dispose(student)
    assert re.fullmatch(r"\.\./ada, [-0-9]+ [0-9:]+ UTC\nbegan with 1010\nleft     1110", written)
    (file,) = (lab.folder / "instance" / "reports").glob("*-.._ada.txt")
    assert file.read_text().strip() == written


def test_what_on_dispose_only_submitted_has_run_when_the_session_is_over(lab: Scene) -> None:
    reports = lab.folder / "instance" / "reports"
    reports.mkdir(parents=True, exist_ok=True)
    for number in range(100):
        (reports / f"19700101-{number:03}.txt").write_text("long ago")
    lab.dispose(lab.student())
    assert len(list(reports.iterdir())) == 100
    assert not (reports / "19700101-000.txt").exists()
