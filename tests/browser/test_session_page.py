"""The ready page and the serial panel in a real browser, against a pretended lab."""

from __future__ import annotations

import datetime as dt
import threading
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.harness import MOTOR_COMMANDS, PREFIX, PretendedLab
from tests.browser.student import TERMINAL, calls, enter, shows, until

MOTOR = {
    "name": "bench-1/motor",
    "title": "Motor",
    "kind": "stepper",
    "panel": None,
    "condition": "ok",
    "reason": "",
    "commands": MOTOR_COMMANDS,
    "feeds": {},
}


def test_typed_line_reaches_the_board_and_its_answer_is_shown(page: Page, lab: PretendedLab) -> None:
    enter(page, lab)
    page.keyboard.type("led 1 on\n")
    shows(page, "> led 1 on\nled 1 is on\n>")
    assert b"".join(lab.written) == b"led 1 on\r"


def test_keys_typed_during_a_call_go_together_with_the_next(page: Page, lab: PretendedLab) -> None:
    free = threading.Event()
    lab.before_call = lambda: free.wait(30)
    enter(page, lab)
    page.keyboard.type("a")
    until(page, lambda: len(calls(lab)) == 1)
    page.keyboard.type("bcdef")
    free.set()
    shows(page, "abcdef")
    assert lab.written == [b"a", b"bcdef"]


def test_paste_goes_in_pieces_and_whole(page: Page, lab: PretendedLab) -> None:
    enter(page, lab)
    text = "".join(f"{n:05d}" for n in range(400))
    page.evaluate("(text) => document.querySelector('.panel.serial').terminal.paste(text)", text)
    until(page, lambda: len(b"".join(lab.written)) == len(text))
    assert b"".join(lab.written) == text.encode()
    assert {len(part) for part in lab.written} == {256, len(text) % 256}


def test_many_pasted_lines_are_asked_about(page: Page, lab: PretendedLab) -> None:
    enter(page, lab)
    paste = """(text) => {
        const clipboardData = new DataTransfer();
        clipboardData.setData("text/plain", text);
        const event = new ClipboardEvent("paste", { clipboardData, bubbles: true, cancelable: true });
        document.querySelector(".xterm-helper-textarea").dispatchEvent(event);
    }"""
    page.evaluate(paste, "one\r\ntwo\r\nthree\r\nfour\r\nfive\r\n")  # five lines: the last newline begins no other
    until(page, lambda: b"".join(lab.written) == b"one\rtwo\rthree\rfour\rfive\r")
    lab.written.clear()
    lab.events.clear()
    page.evaluate(paste, "one\ntwo\nthree\nfour\nfive\nsix\n")
    expect(page.get_by_test_id("question")).to_have_text("Paste 6 lines (28 bytes) into the terminal?")
    assert calls(lab) == []
    page.get_by_test_id("paste").click()
    shows(page, "unknown command: five")
    until(page, lambda: b"".join(lab.written) == b"one\rtwo\rthree\rfour\rfive\rsix\r")


def test_broken_connection_resumes_without_a_lost_byte(page: Page, lab: PretendedLab) -> None:
    enter(page, lab)
    shows(page, "demo board 1.0")
    lab.break_connections()
    lab.say("said while nobody listened\r\n")
    shows(page, "> said while nobody listened")
    lab.say("and after\r\n")
    shows(page, "demo board 1.0\n> said while nobody listened\nand after")
    cursors = [message["cursor"] for event, message in lab.events if event == "subscribe"]
    assert cursors == [None, "e:18"]


def test_reload_shows_everything_again(page: Page, lab: PretendedLab) -> None:
    enter(page, lab)
    page.keyboard.type("temp\n")
    shows(page, "temp 21.4 C")
    before = page.evaluate(TERMINAL)
    page.reload()
    shows(page, before)


def test_dropped_bytes_are_said(page: Page, lab: PretendedLab) -> None:
    lab.say("x" * 12345)
    lab.dropped = len(lab.kept)
    lab.say("the rest\r\n")
    enter(page, lab)
    shows(page, "… 12,363 bytes were dropped …\nthe rest")


def test_feed_is_acknowledged_up_to_what_was_shown(page: Page, lab: PretendedLab) -> None:
    enter(page, lab)
    lab.say("more\r\n")
    until(page, lambda: ("ack", {"device": "bench-1/console", "feed": "received", "cursor": "e:24"}) in lab.events)


def test_question_of_the_board_is_answered_once_and_never_from_old_text(page: Page, lab: PretendedLab) -> None:
    enter(page, lab)
    lab.say("\x1b]11;?\x1b\\\x1b[?2004$p\x1bP$qm\x1b\\\x1b[c\x1b[5n")
    until(page, lambda: b"".join(lab.written).endswith(b"\x1b[0n"))
    said = b"".join(lab.written)
    assert b"\x1b]11;rgb:" in said
    assert b"\x1b[?2004;" in said
    lab.written.clear()
    enter(page, lab)
    page.keyboard.type("!")
    until(page, lambda: lab.written == [b"!"])


@pytest.mark.parametrize("kind", ["StoreUnavailableError", "TooManyEvents"])
def test_feed_that_is_refused_for_the_moment_is_asked_for_again(page: Page, lab: PretendedLab, kind: str) -> None:
    lab.refuse_feeds = kind
    page.goto(f"{lab.url}/labkit/page")
    until(page, lambda: any(event == "subscribe" for event, _ in lab.events))
    lab.refuse_feeds = ""
    lab.say("here again\r\n")
    shows(page, "here again")
    expect(page.get_by_test_id("notice")).to_be_hidden()


def test_feed_that_is_refused_for_good_is_not_asked_for_again(page: Page, lab: PretendedLab) -> None:
    lab.refuse_feeds = "WebLabError"
    page.goto(f"{lab.url}/labkit/page")
    until(page, lambda: any(event == "subscribe" for event, _ in lab.events))
    page.wait_for_timeout(2500)
    assert [event for event, _ in lab.events].count("subscribe") == 1


def test_keys_without_a_connection_are_dropped_and_it_is_said(page: Page, lab: PretendedLab) -> None:
    enter(page, lab)
    lab.refuse = "store"
    lab.break_connections()
    expect(page.get_by_test_id("reset")).to_be_disabled()
    page.keyboard.type("lost")
    expect(page.get_by_test_id("notice")).to_have_text("Not connected to the lab. What you type is not sent.")
    expect(page.get_by_test_id("reconnecting")).to_contain_text("Reconnecting")
    lab.refuse = ""
    expect(page.get_by_test_id("reconnecting")).to_be_hidden()
    page.keyboard.type("kept")
    shows(page, "> kept")
    assert b"".join(lab.written) == b"kept"


def test_network_that_goes_away_is_noticed_at_once(page: Page, lab: PretendedLab) -> None:
    enter(page, lab)
    page.evaluate("""() => window.dispatchEvent(new Event("offline"))""")
    until(page, lambda: [event for event, _ in lab.events].count("subscribe") == 2)
    page.keyboard.type("temp\n")
    shows(page, "temp 21.4 C")


def test_connection_that_answers_no_poll_is_replaced(page: Page, lab: PretendedLab) -> None:
    enter(page, lab)
    free = threading.Event()
    lab.before_poll = lambda: free.wait(60)
    until(page, lambda: [event for event, _ in lab.events].count("subscribe") >= 2)
    free.set()
    expect(page.get_by_test_id("reset")).to_be_enabled()


def test_long_call_is_not_taken_for_a_dead_connection(page: Page, lab: PretendedLab) -> None:
    enter(page, lab)
    free = threading.Event()
    lab.before_call = lambda: free.wait(60)
    page.get_by_test_id("reset").click()
    until(page, lambda: len(calls(lab)) == 1)
    page.evaluate("""() => document.dispatchEvent(new Event("visibilitychange"))""")  # polls; patience is 8 s
    page.wait_for_timeout(9_000)
    free.set()
    expect(page.get_by_test_id("notice")).to_have_text("The board has been reset.")
    assert [event for event, _ in lab.events].count("subscribe") == 1


def test_refused_call_is_explained_and_what_waited_is_not_sent(page: Page, lab: PretendedLab) -> None:
    enter(page, lab)
    lab.fail_calls = {"kind": "DeviceBusyError", "message": "Device 'bench-1/console' is busy."}
    page.keyboard.type("x")
    expect(page.get_by_test_id("notice")).to_contain_text("The board is busy with something else: this was not done.")
    lab.fail_calls = {"kind": "DriverError", "message": "The line is stuck. Tell the lab's staff."}
    page.get_by_test_id("reset").click()
    expect(page.get_by_test_id("notice")).to_have_text("The line is stuck. Tell the lab's staff.")
    page.get_by_role("button", name="Dismiss").click()
    expect(page.get_by_test_id("notice")).to_be_hidden()


def test_reset_and_break_call_the_device(page: Page, lab: PretendedLab) -> None:
    enter(page, lab)
    page.get_by_test_id("reset").click()
    expect(page.get_by_test_id("notice")).to_have_text("The board has been reset.")
    page.get_by_test_id("break").click()
    expect(page.get_by_test_id("notice")).to_have_text("A break has been sent.")
    assert [call["command"] for call in calls(lab)] == ["reset", "send_break"]


def test_log_holds_the_bytes_as_they_came(page: Page, lab: PretendedLab) -> None:
    enter(page, lab)
    lab.say(b"\x1b[1mbold\x1b[0m \xff\r\n")
    shows(page, "bold")
    with page.expect_download() as download:
        page.get_by_test_id("download").click()
    assert download.value.suggested_filename.startswith("bench-1-console-")
    assert download.value.path().read_bytes() == bytes(lab.kept)


def test_choices_are_kept_over_a_reload(page: Page, lab: PretendedLab) -> None:
    enter(page, lab)
    page.get_by_test_id("options").click()
    page.get_by_test_id("enter").select_option("crlf")
    enter(page, lab)
    page.keyboard.type("a\n")
    until(page, lambda: b"".join(lab.written) == b"a\r\n")


def test_escape_and_tab_leave_the_terminal_and_tab_alone_does_not(page: Page, lab: PretendedLab) -> None:
    enter(page, lab)
    focused = "() => document.activeElement.getAttribute('aria-label')"
    page.keyboard.press("Tab")
    assert page.evaluate(focused) == "Terminal of Arduino Uno"
    page.keyboard.press("Escape")
    page.keyboard.press("Shift+Tab")
    assert page.evaluate("() => document.activeElement.dataset.testid") == "options"
    until(page, lambda: b"".join(lab.written) == b"\t\x1b")


@pytest.mark.parametrize("reason", ["time", "inactivity", "logout", "disposed", "admin", "lost", "something new"])
def test_end_is_explained_over_the_page_whose_text_stays(page: Page, lab: PretendedLab, reason: str) -> None:
    enter(page, lab)
    shows(page, "demo board 1.0")
    lab.end(reason)
    dialog = page.get_by_test_id("ended")
    expect(dialog).to_be_visible()
    expect(dialog).to_have_attribute("data-reason", reason)
    expect(dialog.get_by_test_id("back")).to_have_attribute("href", "/course")
    page.keyboard.press("Enter")  # of somebody who is typing
    expect(dialog).to_be_visible()
    dialog.get_by_test_id("stay").click()
    expect(page.get_by_test_id("ended-banner")).to_contain_text("Go back")
    assert "demo board 1.0" in page.evaluate(TERMINAL)
    expect(page.get_by_test_id("reset")).to_be_disabled()


def test_connection_refused_for_an_ended_session_shows_the_end(page: Page, lab: PretendedLab) -> None:
    enter(page, lab)
    lab.state = {"state": "expired", "reason": "inactivity"}
    lab.break_connections()
    expect(page.get_by_test_id("ended")).to_contain_text("because it was quiet")


def test_logging_out_tells_the_lab_and_ends_the_page(page: Page, lab: PretendedLab) -> None:
    lab.back = ""
    enter(page, lab)
    page.get_by_test_id("logout").click()
    expect(page.get_by_test_id("ended")).to_contain_text("You have logged out")
    expect(page.get_by_test_id("ended")).to_contain_text("You can close this tab")
    assert ("logout", None) in lab.events
    expect(page.get_by_test_id("logout")).to_be_hidden()


def test_countdown_warns_and_follows_the_server(page: Page, lab: PretendedLab) -> None:
    page.clock.set_fixed_time(dt.datetime(2026, 3, 2, 14, tzinfo=dt.UTC))  # so that it stays at what is left
    enter(page, lab)
    lab.extend(1000)
    expect(page.get_by_test_id("countdown")).to_contain_text("16:")
    assert page.title().endswith(" · Arduino lab")
    for left, level, said in [(290, "soon", "4 minutes"), (50, "last", "seconds left."), (9, "last", "seconds left.")]:
        lab.extend(left)
        expect(page.locator("#timer")).to_have_attribute("data-level", level)
        expect(page.get_by_test_id("announcer")).to_contain_text(said)
    expect(page.locator("#timer")).to_contain_text("Last seconds")
    lab.extend(700)
    expect(page.get_by_test_id("announcer")).to_contain_text("You have more time now: 11 minutes")
    expect(page.locator("#timer")).to_have_attribute("data-level", "calm")


def test_quiet_page_polls(page: Page, lab: PretendedLab) -> None:
    enter(page, lab)
    until(page, lambda: [event for event, _ in lab.events].count("poll") >= 2)


def test_unplugged_device_is_told_and_comes_back(page: Page, lab: PretendedLab) -> None:
    enter(page, lab)
    lab.set_condition("offline", "unplugged")
    expect(page.get_by_test_id("condition")).to_have_text("Offline")
    away = "The board is not reachable right now. It comes back by itself; wait a moment."
    expect(page.get_by_test_id("reason")).to_have_text(away)
    expect(page.get_by_test_id("details")).to_have_text("unplugged")
    expect(page.get_by_test_id("details")).to_be_hidden()
    expect(page.get_by_test_id("reset")).to_be_disabled()
    page.keyboard.type("x")
    expect(page.get_by_test_id("notice")).to_have_text(f"{away} What you type is not sent.")
    lab.set_condition("ok")
    expect(page.get_by_test_id("reason")).to_be_hidden()
    expect(page.get_by_test_id("reset")).to_be_enabled()
    expect(page.get_by_test_id("condition")).to_have_text("Ready")
    shows(page, "… the board was away and has been put into its safe state …")
    expect(page.get_by_test_id("notice")).to_be_hidden()
    assert calls(lab) == []


def test_store_that_is_away_is_told(page: Page, lab: PretendedLab) -> None:
    enter(page, lab)
    lab.sockets.emit("store", {"ok": False})
    expect(page.get_by_test_id("store-away")).to_be_visible()
    lab.sockets.emit("store", {"ok": True})
    expect(page.get_by_test_id("store-away")).to_be_hidden()


def test_panel_that_fails_breaks_no_other(page: Page, lab: PretendedLab, complaints: list[str]) -> None:
    broken = f"{PREFIX}/labkit/panels/broken.js"
    lab.extra_devices = [{**MOTOR, "name": "bench-1/broken", "title": "Broken", "panel": broken}, MOTOR]
    enter(page, lab)
    card = page.locator('[data-device="bench-1/broken"]')
    expect(card.get_by_test_id("notice")).to_contain_text("The panel of this device failed (out of paint).")
    expect(card.get_by_role("button", name="Turn")).to_be_enabled()
    page.keyboard.type("temp\n")
    shows(page, "temp 21.4 C")
    assert len(complaints) == 1
    complaints.clear()


def test_device_without_a_panel_gets_forms_from_its_schemas(page: Page, lab: PretendedLab) -> None:
    speed = {"type": "integer", "title": "Speed", "minimum": 0, "maximum": 100, "default": 50}
    schema = MOTOR_COMMANDS["turn"]["schema"]
    turn = {**MOTOR_COMMANDS["turn"], "schema": {**schema, "properties": {**schema["properties"], "speed": speed}}}
    lab.extra_devices = [{**MOTOR, "commands": {"turn": turn}}]
    enter(page, lab)
    form = page.locator('[data-device="bench-1/motor"] form')
    expect(form).to_contain_text("Turn the motor.")
    expect(form).to_contain_text("Degrees -360 to 360")
    expect(form).to_contain_text("Speed 0\u2013100")
    form.get_by_label("Speed").fill("101")
    form.get_by_label("Degrees").fill("12.5")
    form.get_by_role("button", name="Turn").click()
    assert calls(lab) == []  # the browser itself refuses 101
    form.get_by_label("Speed").fill("99")
    form.get_by_label("Direction").select_option("left")
    form.get_by_role("button", name="Turn").click()
    expect(form.locator("output")).to_have_text("Done.")
    assert calls(lab)[-1]["kwargs"] == {"degrees": 12.5, "direction": "left", "hold": False, "speed": 99}


def test_panel_of_the_documentation_works(page: Page, lab: PretendedLab, root: Path) -> None:
    text = (root / "docs" / "reference" / "panels.md").read_text("utf-8")
    lab.panels["thermometer"] = text.split("```js\n")[1].split("```")[0]
    lab.states = {"temperature": 21.44}
    commands = {"zero": {"panel": True, "schema": {}}}
    address = f"{PREFIX}/labkit/panels/thermometer.js"
    lab.extra_devices = [{**MOTOR, "panel": address, "commands": commands, "feeds": {"temperature": {"type": "state"}}}]
    enter(page, lab)
    panel = page.locator('[data-device="bench-1/motor"] .panel')
    expect(panel.locator("output")).to_have_text("21.4 °C")
    panel.get_by_role("button", name="Set to zero").click()
    until(page, lambda: [call["command"] for call in calls(lab)] == ["zero"])


def test_state_feed_without_a_panel_shows_its_last_value(page: Page, lab: PretendedLab) -> None:
    lab.states = {"position": {"degrees": 90}}
    lab.extra_devices = [{**MOTOR, "feeds": {"position": {"type": "state", "help": "Where the motor stands."}}}]
    enter(page, lab)
    expect(page.locator('[data-device="bench-1/motor"]')).to_contain_text("Where the motor stands.")
    expect(page.get_by_label("Feed position")).to_contain_text('"degrees": 90')


def test_narrow_page_is_one_column_without_sideways_scrolling(page: Page, lab: PretendedLab) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    lab.extra_devices = [MOTOR]
    enter(page, lab)
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 360
    lefts = page.evaluate("() => [...document.querySelectorAll('.card')].map((card) => card.offsetLeft)")
    assert len(set(lefts)) == 1
