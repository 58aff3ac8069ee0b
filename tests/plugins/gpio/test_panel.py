"""The panel in a real browser, on a real lab with a simulated chip."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from labkit.testing.store import StoreServer
from labkit_plugins.twins.control import Control
from tests.browser.complaints import note_complaints
from tests.browser.lab_of_pages import LabOfPages
from tests.toy import GUARD

PATIENCE = 30_000.0  # ms
DECLARED = """
[leds]
driver = "gpio"
title = "Lamps and a button"
simulate = true
safe = { red = 0 }

[leds.lines]
red = 17
green = { line = 27, active_low = true }
button = { line = 22, direction = "in", pull = "up", active_low = true }
"""


class GpioLab(LabOfPages):
    """The lab, with the far end of its wires in `ask`."""

    def ask(self, request: str) -> None:
        (control,) = self.folder.glob("**/leds/control")
        with Control(control, GUARD) as channel:
            channel.ask(request)

    @property
    def folder(self) -> Path:
        return Path(self.small.app.instance_path)


@pytest.fixture(scope="module", autouse=True)
def patient() -> Iterator[None]:
    """A page may take its time to show something: a busy machine starts one in more than five seconds."""
    expect.set_options(timeout=PATIENCE)
    yield
    expect.set_options(timeout=None)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, store_server: StoreServer) -> Iterator[GpioLab]:
    folder = tmp_path_factory.mktemp("lab")
    (folder / "devices").mkdir()
    (folder / "devices" / "bench-1.toml").write_text(DECLARED)
    lab = GpioLab(folder, store_server.url, LABKIT_CALL_TIMEOUT=60)  # a chip hangs for as long as a test looks at it
    yield lab
    lab.close()


@pytest.fixture(scope="module")
def session_page(browser: Browser, lab: GpioLab) -> Iterator[Page]:
    """The page of a session, for all tests of this file."""
    lab.small.up()
    lab.small.wait_free()
    complaints: list[str] = []
    with browser.new_context() as student:
        page = student.new_page()
        note_complaints(page, complaints)
        lab.enter(page, "Welcome.")
        page.goto(f"{lab.url}/labkit/")
        expect(page.locator("#devices")).to_have_attribute("data-ready", "true")
        yield page
    assert complaints == []


@pytest.fixture
def page(session_page: Page, lab: GpioLab) -> Page:
    """The page with all outputs off and nothing wrong."""
    for request in ("normal", "release red", "release button"):
        lab.ask(request)
    for name in ("switch-red", "switch-green"):
        switch = session_page.get_by_test_id(name)
        expect(switch).to_be_enabled()
        expect(switch).to_have_attribute("aria-busy", "false")
        if switch.get_attribute("aria-checked") == "true":
            switch.click()
        expect(switch).to_have_attribute("aria-checked", "false")
    return session_page


def test_switch_shows_what_the_device_confirmed(page: Page, lab: GpioLab) -> None:
    red = page.get_by_role("switch", name="red")
    expect(red).to_have_attribute("aria-checked", "false")
    red.click()
    expect(red).to_have_attribute("aria-checked", "true")
    expect(page.get_by_role("switch", name="green")).to_have_attribute("aria-checked", "false")


def test_switch_works_by_keyboard(page: Page) -> None:
    green = page.get_by_test_id("switch-green")
    green.focus()
    page.keyboard.press("Space")
    expect(green).to_have_attribute("aria-checked", "true")
    expect(green).to_be_focused()


def test_refused_switch_stays_where_it_was_and_says_why(page: Page, lab: GpioLab) -> None:
    lab.ask("drive red 0")
    red = page.get_by_test_id("switch-red")
    red.click()
    expect(page.get_by_test_id("notice")).to_contain_text("was set to 1 but reads back 0")
    expect(red).to_have_attribute("aria-checked", "false")
    expect(red).to_have_attribute("aria-busy", "false")


def test_switch_waits_while_the_device_takes_its_time(page: Page, lab: GpioLab) -> None:
    lab.ask("hang")
    red = page.get_by_test_id("switch-red")
    red.click()
    expect(red).to_have_attribute("aria-busy", "true")
    expect(red).to_have_attribute("aria-checked", "false")
    lab.ask("normal")
    expect(red).to_have_attribute("aria-checked", "true")
    expect(red).to_have_attribute("aria-busy", "false")


def test_lamp_follows_its_input(page: Page, lab: GpioLab) -> None:
    lamp = page.get_by_test_id("lamp-button")
    expect(lamp).to_have_text("off")
    lab.ask("drive button 0")
    expect(lamp).to_have_text("on")
    expect(lamp).to_have_attribute("data-level", "1")
    lab.ask("release button")
    expect(lamp).to_have_text("off")


def test_pulse_goes_there_and_back(page: Page, lab: GpioLab) -> None:
    page.evaluate("""() => {
        const red = document.querySelector('[data-testid="switch-red"]');
        window.seen = [];
        new MutationObserver(() => window.seen.push(red.getAttribute("aria-checked")))
            .observe(red, { attributeFilter: ["aria-checked"] });
    }""")
    page.get_by_role("button", name="Pulse red").click()
    page.wait_for_function("() => window.seen.includes('true') && window.seen.at(-1) === 'false'")


def test_another_page_of_the_session_sees_the_same(page: Page, lab: GpioLab) -> None:
    page.get_by_test_id("switch-red").click()
    expect(page.get_by_test_id("switch-red")).to_have_attribute("aria-checked", "true")
    second = page.context.new_page()
    second.goto(page.url)
    expect(second.get_by_test_id("switch-red")).to_have_attribute("aria-checked", "true")
    second.get_by_test_id("switch-red").click()
    expect(page.get_by_test_id("switch-red")).to_have_attribute("aria-checked", "false")


def test_unplugged_chip_disables_the_switches_and_is_back_with_its_levels(page: Page, lab: GpioLab) -> None:
    red = page.get_by_test_id("switch-red")
    red.click()
    expect(red).to_have_attribute("aria-checked", "true")
    lab.ask("unplug")
    expect(page.get_by_test_id("condition")).to_have_text("Offline")
    expect(red).to_be_disabled()
    lab.ask("plug")
    expect(red).to_be_enabled()
    expect(red).to_have_attribute("aria-checked", "false")


# A device whose answers the test gives, in a panel of its own: `device.answers` are what each `lines` gives in turn.
PRETENDED = """async (script) => {
    const { default: mount } = await import(script);
    const element = document.createElement("div");
    element.id = "pretended";
    document.body.append(element);
    const device = Object.assign(new EventTarget(), {
        usable: true, answers: [], said: [],
        call: () => new Promise((resolve, reject) => device.answers.push({ resolve, reject })),
        subscribe: (feed, listener) => { device.tell = (levels) => listener(levels, { history: false }); },
        say: (error) => device.said.push(String(error)),
    });
    window.device = device;
    mount(element, device);
}"""
LEVELS = {"red": {"line": 17, "direction": "out", "level": 0}, "door": {"line": 22, "direction": "in", "level": 0}}


@pytest.fixture
def pretended(page: Page, lab: GpioLab) -> Iterator[Page]:
    """A second page of the session with the panel of a pretended device beside the real one."""
    second = page.context.new_page()
    second.goto(page.url)
    second.evaluate(PRETENDED, f"{lab.url}/labkit/panels/gpio.js")
    yield second
    second.close()


def test_level_that_is_told_before_there_are_rows_is_shown_when_they_are_there(pretended: Page) -> None:
    pretended.evaluate("() => device.tell({ red: 0, door: 1 })")
    pretended.evaluate("(lines) => device.answers[0].resolve(lines)", LEVELS)
    panel = pretended.locator("#pretended")
    expect(panel.get_by_test_id("switch-red")).to_have_attribute("aria-checked", "false")
    expect(panel.get_by_test_id("lamp-door")).to_have_text("on")


def test_levels_that_were_told_before_the_lines_were_asked_for_are_not_newer_than_the_answer(pretended: Page) -> None:
    pretended.evaluate("(lines) => device.answers[0].resolve(lines)", LEVELS)
    lamp = pretended.locator("#pretended").get_by_test_id("lamp-door")
    expect(lamp).to_have_text("off")
    pretended.evaluate("() => device.tell({ red: 0, door: 1 })")
    expect(lamp).to_have_text("on")
    pretended.evaluate("""() => {
        for (const usable of [false, true]) { device.usable = usable; device.dispatchEvent(new Event("change")); }
    }""")
    pretended.evaluate("(lines) => device.answers[1].resolve(lines)", LEVELS)
    expect(lamp).to_have_text("off")


def test_lines_of_a_device_that_was_busy_are_asked_for_again(pretended: Page) -> None:
    pretended.evaluate("() => device.answers[0].reject(new Error('it is busy'))")
    pretended.wait_for_function("() => device.answers.length === 2")
    pretended.evaluate("() => device.answers[1].reject(new Error('it is busy'))")
    pretended.wait_for_function("() => device.answers.length === 3")
    pretended.evaluate("(lines) => device.answers[2].resolve(lines)", LEVELS)
    expect(pretended.locator("#pretended").get_by_test_id("lamp-door")).to_have_text("off")
    assert pretended.evaluate("() => device.said") == ["Error: it is busy"]


@pytest.mark.parametrize("width", [360, 1280])
def test_panel_fits_its_page(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 740})
    expect(page.get_by_role("group", name="Outputs")).to_be_visible()
    expect(page.get_by_role("group", name="Inputs")).to_be_visible()
    assert page.evaluate("() => document.documentElement.scrollWidth <= window.innerWidth")
    boxes = [page.get_by_test_id(name).bounding_box() for name in ("switch-red", "pulse-red", "lamp-button")]
    assert all(box is not None and box["x"] >= 0 and box["x"] + box["width"] <= width for box in boxes)
    assert re.search(r"gpio", page.locator('[data-device="bench-1/leds"] .panel').get_attribute("class") or "")
