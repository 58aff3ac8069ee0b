"""The panel in a real browser, on a real lab with a simulated chip."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from labkit.testing.store import StoreServer
from labkit_plugins.twins.control import Control
from tests.browser.lab_of_pages import LabOfPages

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
        with Control(control) as channel:
            channel.ask(request)

    @property
    def folder(self) -> Path:
        return Path(self.small.app.instance_path)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, store_server: StoreServer) -> Iterator[GpioLab]:
    folder = tmp_path_factory.mktemp("lab")
    (folder / "devices").mkdir()
    (folder / "devices" / "bench-1.toml").write_text(DECLARED)
    lab = GpioLab(folder, store_server.url)
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
        page.on("console", lambda message: complaints.extend([message.text] if message.type == "error" else []))
        page.on("pageerror", lambda error: complaints.append(str(error)))
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
        expect(switch).to_be_enabled(timeout=20_000)
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
    lab.ask("slow")
    red = page.get_by_test_id("switch-red")
    red.click()
    expect(red).to_have_attribute("aria-busy", "true")
    expect(red).to_have_attribute("aria-checked", "false")
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
    expect(red).to_be_enabled(timeout=20_000)
    expect(red).to_have_attribute("aria-checked", "false")


@pytest.mark.parametrize("width", [360, 1280])
def test_panel_fits_its_page(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 740})
    expect(page.get_by_role("group", name="Outputs")).to_be_visible()
    expect(page.get_by_role("group", name="Inputs")).to_be_visible()
    assert page.evaluate("() => document.documentElement.scrollWidth <= window.innerWidth")
    boxes = [page.get_by_test_id(name).bounding_box() for name in ("switch-red", "pulse-red", "lamp-button")]
    assert all(box is not None and box["x"] >= 0 and box["x"] + box["width"] <= width for box in boxes)
    assert re.search(r"gpio", page.locator('[data-device="bench-1/leds"] .panel').get_attribute("class") or "")
