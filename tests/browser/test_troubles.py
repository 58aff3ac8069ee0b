"""What a student is told when a device or the lab is in trouble, and when it is over."""

from __future__ import annotations

import datetime as dt

import pytest
from playwright.sync_api import Page, expect

from tests.browser.harness import PretendedLab
from tests.browser.student import enter, until

ENGINEERS = "Device 'bench-1/console' has no host at the moment; nothing was done. Is `labkit loop` running?"


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("CallLostError", "The lab lost touch with the board for a moment. Your last input may be missing."),
        ("DeviceOfflineError", "The board is not reachable right now. It comes back by itself; wait a moment."),
        ("DeviceFaultyError", "The board is out of order: this was not done. Tell the lab's staff."),
        ("CallExpiredError", "The board did not get round to this in time: it was not done. Try again."),
        ("ReservationLostError", "Your session is over, or has given the board back: this was not done."),
        ("StoreUnavailableError", "The lab can't do this right now. Nothing is lost; try again in a moment."),
    ],
)
def test_trouble_is_told_in_a_students_words_and_the_engineers_are_one_click_away(
    page: Page, lab: PretendedLab, kind: str, sentence: str
) -> None:
    enter(page, lab)
    lab.fail_calls = {"kind": kind, "message": ENGINEERS}
    page.keyboard.type("x")
    expect(page.get_by_test_id("notice")).to_have_text(sentence)
    details = page.locator(".card-notice").get_by_test_id("details")
    expect(details).to_be_hidden()
    page.locator(".card-notice summary").click()
    expect(details).to_have_text(ENGINEERS)


def test_error_of_a_driver_speaks_for_itself(page: Page, lab: PretendedLab) -> None:
    enter(page, lab)
    lab.fail_calls = {"kind": "DriverError", "message": "The line is stuck."}
    page.get_by_test_id("reset").click()
    expect(page.get_by_test_id("notice")).to_have_text("The line is stuck.")
    expect(page.locator(".card-notice summary")).to_have_count(0)


def test_red_box_goes_when_the_next_call_is_done(page: Page, lab: PretendedLab) -> None:
    enter(page, lab)
    lab.fail_calls = {"kind": "CallLostError", "message": ENGINEERS}
    page.keyboard.type("x")
    expect(page.locator(".card-notice")).to_have_attribute("data-tone", "error")
    expect(page.locator(".card-notice")).to_be_visible()
    lab.fail_calls = None
    page.keyboard.type("y")
    expect(page.locator(".card-notice")).to_be_hidden()


def test_red_box_goes_when_the_device_is_back(page: Page, lab: PretendedLab) -> None:
    enter(page, lab)
    lab.fail_calls = {"kind": "DeviceOfflineError", "message": ENGINEERS}
    page.keyboard.type("x")
    expect(page.locator(".card-notice")).to_be_visible()
    lab.set_condition("offline", "its host is gone")
    lab.set_condition("ok")
    expect(page.locator(".card-notice")).to_be_hidden()


def test_what_happened_to_a_device_meanwhile_is_learned_with_the_next_connection(page: Page, lab: PretendedLab) -> None:
    enter(page, lab)
    lab.console = {"condition": "offline", "reason": "its host is gone"}
    lab.break_connections()
    expect(page.get_by_test_id("condition")).to_have_text("Offline")
    expect(page.get_by_test_id("reset")).to_be_disabled()


def test_an_empty_terminal_says_how_to_wake_the_board(page: Page, lab: PretendedLab) -> None:
    lab.kept.clear()
    enter(page, lab)
    expect(page.get_by_test_id("hint")).to_have_text("Nothing from the board yet. Press Enter to wake it.")
    page.get_by_test_id("hint").click(force=True)  # it is in nobody's way
    page.keyboard.press("Enter")
    until(page, lambda: lab.written == [b"\r"])
    expect(page.get_by_test_id("hint")).to_be_empty()


def test_a_board_that_has_spoken_gets_no_hint(page: Page, lab: PretendedLab) -> None:
    enter(page, lab)
    page.wait_for_timeout(1_500)  # longer than the page waits for a byte
    expect(page.get_by_test_id("hint")).to_be_empty()


@pytest.mark.parametrize("button", ["reset", "break", "copy", "clear"])
def test_focus_is_in_the_terminal_again_after_a_button(page: Page, lab: PretendedLab, button: str) -> None:
    enter(page, lab)
    page.get_by_test_id(button).click()
    page.wait_for_function("() => document.activeElement.className === 'xterm-helper-textarea'")


@pytest.mark.parametrize(
    ("length", "left", "level"),
    [
        (300, 299, "calm"), (300, 120, "calm"), (300, 55, "soon"), (300, 28, "last"),
        (20, 19, "calm"), (200, 90, "calm"), (3600, 290, "soon"), (3600, 50, "last"),
    ],
)  # fmt: skip
def test_countdown_warns_by_the_length_of_the_session(
    page: Page, lab: PretendedLab, length: float, left: float, level: str
) -> None:
    lab.length = length
    page.clock.set_fixed_time(dt.datetime(2026, 3, 2, 14, tzinfo=dt.UTC))  # so that it stays at what is left
    enter(page, lab)
    lab.extend(left)
    expect(page.locator("#timer")).to_have_attribute("data-level", level)


def test_header_names_the_bench(page: Page, lab: PretendedLab) -> None:
    enter(page, lab)
    expect(page.get_by_test_id("facts")).to_have_text("Arduino bench 1 · Ada Lovelace")
