"""docs/examples/behind-gunicorn: four workers serve, and everything else is done by the loop."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.cli.program import wait_for
from tests.docs.running_scene import Program, Scene, page_of, scene
from tests.flows.people import Student

WORKERS = 4


class Services:
    """The lab, with its two programs."""

    def __init__(self, lab: Scene, loop: Program, gunicorn: Program):
        self.lab = lab
        self.loop = loop
        self.gunicorn = gunicorn

    @property
    def workers(self) -> set[int]:
        return set(self.lab.place.processes("gunicorn")) - {self.gunicorn.pid}


@pytest.fixture(scope="module")
def services() -> Iterator[Services]:
    with scene("behind-gunicorn") as lab:
        loop, gunicorn = lab.start("labkit loop"), lab.start("gunicorn")
        lab.port = gunicorn.port
        wait_for(lambda: gunicorn.printed.count("Booting worker") == WORKERS, "the workers")
        lab.wait_devices()
        yield Services(lab, loop, gunicorn)


def facts(student: Student, method: str = "GET", path: str = "/facts") -> dict[str, Any]:
    status, answer, _ = student.ask(method, path)
    assert status == 200, answer
    return dict(answer)


def test_several_workers_serve_and_all_tasks_run_in_the_loop(services: Services) -> None:
    lab, answered = services.lab, set[int]()
    with ThreadPoolExecutor(8) as crowd:

        def ask_often(students: list[Student]) -> bool:
            answered.update(told["worker"] for told in crowd.map(facts, students * 20))
            return len(answered) > 1

        for names in (("ada", "bob"), ("carol", "dan")):  # two at a time: there are two boards
            students = list(crowd.map(lab.student, names))
            for student in students:
                measure(services, student)
            wait_for(lambda students=students: ask_often(students), "a second worker's answer")
            for student in students:
                lab.dispose(student)
                assert facts(student)["ended_by"] == services.loop.pid
    assert answered <= services.workers


def measure(services: Services, student: Student) -> None:
    assert facts(student)["let_in_by"] in services.workers
    facts(student, "POST", "/measure")
    wait_for(lambda: facts(student)["measured"], "the measurement")
    measured = facts(student)["measured"]
    assert measured["process"] == services.loop.pid
    assert 20 < measured["celsius"] < 30


def test_page_shows_who_did_what(services: Services, browser: Browser) -> None:
    student = services.lab.student()
    with page_of(browser, student, "/") as page:
        expect(page.locator("#let_in_by")).to_have_text(str(facts(student)["let_in_by"]))
        page.get_by_role("button", name="Measure").click()
        expect(page.locator("#measured")).to_contain_text(f"{services.loop.pid}: 2")
        services.lab.dispose(student)
        expect(page.locator("#ended_by")).to_have_text(str(services.loop.pid))
        expect(page.get_by_role("button", name="Measure")).to_be_disabled()


def test_sessions_outlive_a_restart_of_the_web(services: Services) -> None:
    lab = services.lab
    student = lab.student()
    before = services.workers
    assert services.gunicorn.end() == 0
    services.gunicorn = lab.start("gunicorn")
    lab.port = student.port = services.gunicorn.port
    told = facts(student)
    assert told["active"]
    assert told["let_in_by"] in before
    assert told["worker"] not in before
    lab.dispose(student)
