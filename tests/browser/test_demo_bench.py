"""The bench of the demo in a real browser: what is done in one of its devices shows in the others, and faults are said.

Nothing here is made up: the real program, store, loop and page; board, chip and camera are the twins' own programs.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from labkit_plugins.camera.painting import lamp_places
from tests.browser.complaints import note_complaints
from tests.browser.test_demo import PATIENCE, says, screen
from tests.cli.program import Place, wait_for

LAMPS = ("lamp", "button", "led1", "led2", "led3", "led4")
LIT = 150  # of 255: the strongest colour in the middle of a lamp that is on; of one that is off, at most 80
MIDDLE = """(canvas, [x, y]) => {
    if (!canvas.width) return 0;
    const scale = canvas.width / 640;
    const { data } = canvas.getContext("2d").getImageData(x * scale - 1, y * scale - 1, 3, 3);
    return Math.max(...Array.from(data).filter((_, index) => index % 4 < 3));
}"""


class Student:
    """A student's page on the demo bench, and a terminal beside it for `labkit sim`."""

    def __init__(self, page: Page, place: Place, demo_folder: str):
        self.page = page
        self._place = place
        self._folder = demo_folder

    def card(self, device: str) -> Locator:
        return self.page.locator(f'[data-device="bench-1/{device}"]')

    def condition(self, device: str) -> Locator:
        return self.card(device).get_by_test_id("condition")

    def type(self, line: str) -> None:
        self.page.click(".xterm-screen")
        self.page.keyboard.type(f"{line}\r")

    def lamps_in_the_picture(self) -> set[str]:
        """The lamps that are lit in the newest picture."""
        canvas = self.card("camera").locator("canvas").first
        places = lamp_places(LAMPS)
        return {name for name in LAMPS if canvas.evaluate(MIDDLE, places[name]) > LIT}

    def sees(self, *lamps: str) -> None:
        """Wait until exactly these lamps are lit in the picture."""
        self.until(lambda: self.lamps_in_the_picture() == {*lamps}, lambda: f"in the picture: {lamps}")

    def until(self, holds: Callable[[], bool], what: Callable[[], str]) -> None:
        wait_for(lambda: self.page.wait_for_timeout(50) or holds(), what)

    def simulate(self, fault: str, device: str) -> None:
        done = self._place.labkit("sim", fault, device, LABKIT_DEMO=self._folder)
        assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def student(browser: Browser) -> Iterator[Student]:
    """The one student of a demo, for all tests of this module: each leaves the bench as it was."""
    with tempfile.TemporaryDirectory(prefix="lkd-", dir="/tmp") as top:
        for name in ("lab", "t"):
            (Path(top) / name).mkdir()
        place = Place(Path(top) / "lab", Path(top) / "t")
        with place.running("demo", "--port", "0", "--time", "1000") as demo:
            demo.says("labkit devices")
            folder = re.search(r"LABKIT_DEMO=(\S+)", demo.out)
            assert folder
            context = browser.new_context(viewport={"width": 1600, "height": 1000})
            page = context.new_page()
            page.set_default_timeout(PATIENCE)
            complaints: list[str] = []
            note_complaints(page, complaints)
            page.goto(f"{demo.url}/labkit/demo")
            page.get_by_test_id("start").click()
            says(page, "Type help")
            yield Student(page, place, folder[1])
            assert complaints == []
            context.close()
        place.wait_until_nothing_is_left()


def test_lamp_that_is_switched_lights_up_in_the_camera_picture(student: Student) -> None:
    student.sees()
    switch = student.page.get_by_test_id("switch-lamp")
    switch.click()
    expect(switch).to_have_attribute("aria-checked", "true")
    student.sees("lamp")
    switch.click()
    student.sees()


def test_led_of_the_board_lights_its_line_and_shows_in_the_picture(student: Student) -> None:
    lamp = student.page.get_by_test_id("lamp-led1")
    expect(lamp).to_have_attribute("data-level", "0")
    student.type("led 1 on")
    says(student.page, "led 1 is on")
    expect(lamp).to_have_attribute("data-level", "1")
    student.sees("led1")
    student.type("led 3 on")
    student.sees("led1", "led3")
    student.type("halt")
    student.sees()
    expect(lamp).to_have_attribute("data-level", "0")


def test_button_that_is_pressed_is_read_in_the_terminal(student: Student) -> None:
    before = screen(student.page).count("button pressed")
    student.page.get_by_test_id("pulse-button").click()
    for word in ("pressed", "released"):
        student.until(
            lambda word=word: screen(student.page).count(f"button {word}") == before + 1,  # type: ignore[misc]
            lambda word=word: f"button {word} in\n{screen(student.page)}",  # type: ignore[misc]
        )


def test_board_that_is_unplugged_is_said_to_be_offline_and_the_session_goes_on_when_it_is_back(
    student: Student,
) -> None:
    expect(student.condition("console")).to_have_text("Ready")
    student.type("led 2 on")
    student.sees("led2")
    student.simulate("unplug", "bench-1/console")
    expect(student.condition("console")).to_have_text("Offline", timeout=PATIENCE)
    student.sees()  # without power it drives nothing
    expect(student.condition("lines")).to_have_text("Ready")
    student.simulate("plug", "console")
    expect(student.condition("console")).to_have_text("Ready", timeout=PATIENCE)
    student.type("led 4 on")
    says(student.page, "led 4 is on")
    student.sees("led4")
    student.type("halt")
    student.sees()


def test_camera_that_is_unplugged_is_said_to_be_offline_and_shows_what_is_when_it_is_back(student: Student) -> None:
    student.simulate("unplug", "camera")
    expect(student.condition("camera")).to_have_text("Offline", timeout=PATIENCE)
    student.page.get_by_test_id("switch-lamp").click()
    expect(student.page.get_by_test_id("switch-lamp")).to_have_attribute("aria-checked", "true")
    student.simulate("plug", "camera")
    expect(student.condition("camera")).to_have_text("Ready", timeout=PATIENCE)
    student.sees("lamp")
    student.page.get_by_test_id("switch-lamp").click()
    student.sees()


def test_chip_that_is_unplugged_and_back_is_wired_to_board_and_camera_as_before(student: Student) -> None:
    student.simulate("unplug", "lines")
    expect(student.condition("lines")).to_have_text("Offline", timeout=PATIENCE)
    student.simulate("plug", "lines")
    expect(student.condition("lines")).to_have_text("Ready", timeout=PATIENCE)
    student.type("led 1 on")
    student.page.get_by_test_id("switch-lamp").click()
    student.sees("lamp", "led1")
    student.type("halt")
    student.page.get_by_test_id("switch-lamp").click()
    student.sees()


def test_a_hanging_chip_leaves_the_board_and_the_camera_alone(student: Student) -> None:
    student.simulate("hang", "lines")
    student.type("temp")
    says(student.page, "temp is ")
    student.simulate("normal", "lines")
    student.page.get_by_test_id("switch-lamp").click()
    student.sees("lamp")
    student.page.get_by_test_id("switch-lamp").click()
    student.sees()
