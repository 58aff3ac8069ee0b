"""The camera's panel: the picture as it is declared to lie, what is said where there is none, snapshot, its name."""

from __future__ import annotations

import datetime as dt
import io
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, expect

import labkit_plugins.camera
from tests.browser.harness import PREFIX, PretendedLab
from tests.browser.student import enter, until

CAMERA = "bench-1/camera"
PANEL = Path(labkit_plugins.camera.__file__).with_name("panel.js")
VIEW = {"title": "Robot", "rotation": 0, "flip": "none", "timeout": 5.0, "size": "64x48", "rate": 0.0}


def picture(colours: tuple[str, str] = ("red", "blue")) -> bytes:
    """64 by 48 pixels, of one colour at the left and of another at the right."""
    image = Image.new("RGB", (64, 48), colours[1])
    image.paste(Image.new("RGB", (32, 48), colours[0]))
    out = io.BytesIO()
    image.save(out, "JPEG", quality=95)
    return out.getvalue()


class CameraLab(PretendedLab):
    """A pretended lab with a camera beside its console."""

    def __init__(self) -> None:
        super().__init__()
        self.results: dict[str, Any] = {"view": VIEW, "snapshot": picture()}
        self.panels["camera"] = PANEL.read_text()
        self.camera: dict[str, Any] = {
            "name": CAMERA, "title": "Robot", "kind": "camera", "panel": f"{PREFIX}/labkit/panels/camera.js",
            "condition": "ok", "reason": "", "feeds": {"frames": {"type": "frames"}, "signal": {"type": "state"}},
            "commands": {"snapshot": {"panel": True}, "view": {"panel": True}},
        }  # fmt: skip
        self.extra_devices = [self.camera]

    def signal(self, signal: bool, reason: str = "", since: float = 0.0) -> None:
        state = {"signal": signal, "reason": reason, "since": since}
        told = {"device": CAMERA, "feed": "signal", "cursor": f"e:{time.time_ns()}", "lost": 0, "data": state}
        self.sockets.emit("feed", told)

    def set_camera(self, condition: str, reason: str = "") -> None:
        self.sockets.emit("device", {"device": CAMERA, "hold": "reserved", "condition": condition, "reason": reason})

    def _on_call(self, message: dict[str, Any]) -> dict[str, Any]:
        if message["device"] == CAMERA and self.fail_calls is None:
            return {"ok": True, "result": self.results[message["command"]]}
        return super()._on_call(message)


@pytest.fixture
def lab() -> Iterator[CameraLab]:
    with CameraLab() as lab:
        yield lab


@pytest.fixture
def card(page: Page) -> Locator:
    return page.locator(f'[data-device="{CAMERA}"]')


def seen(page: Page, card: Locator) -> tuple[str, str]:
    """The colours in the middle of the left and of the right half of the picture, as the eye sees them."""
    shot = Image.open(io.BytesIO(card.locator(".camera-stage").screenshot())).convert("RGB")
    names = []
    for x in (shot.width // 4, shot.width * 3 // 4):
        red, green, blue = shot.getpixel((x, shot.height // 2))
        strongest = max(red, green, blue)
        names.append("dark" if strongest < 100 else {red: "red", blue: "blue", green: "green"}[strongest])
    return names[0], names[1]


def test_picture_takes_the_place_of_the_waiting(page: Page, lab: CameraLab, card: Locator) -> None:
    enter(page, lab)
    expect(card.get_by_test_id("signal")).to_have_text("Waiting for the first picture")
    lab.show(CAMERA, picture(), 1)
    expect(card.get_by_test_id("signal")).to_be_hidden()
    expect(card.get_by_role("img", name="Picture of Robot")).to_be_visible()
    until(page, lambda: seen(page, card) == ("red", "blue"))
    lab.show(CAMERA, picture(("blue", "red")), 2)
    until(page, lambda: seen(page, card) == ("blue", "red"))


@pytest.mark.parametrize(
    ("rotation", "flip", "expected"),
    [
        (180, "none", ("blue", "red")),
        (0, "horizontal", ("blue", "red")),
        (0, "vertical", ("red", "blue")),
        (180, "horizontal", ("red", "blue")),
    ],
)
def test_picture_lies_as_it_is_declared(
    rotation: int, flip: str, expected: tuple[str, str], page: Page, lab: CameraLab, card: Locator
) -> None:
    lab.results["view"] = {**VIEW, "rotation": rotation, "flip": flip}
    enter(page, lab)
    lab.show(CAMERA, picture(), 1)
    until(page, lambda: seen(page, card) == expected)


def test_view_is_asked_for_again_where_the_camera_was_busy(page: Page, lab: CameraLab, card: Locator) -> None:
    lab.results["view"] = {**VIEW, "rotation": 180}
    lab.fail_calls = {"kind": "DeviceBusyError", "message": "'bench-1/camera' has been busy for over a second."}
    enter(page, lab)
    until(page, lambda: ("call", "view") in [(event, (told or {}).get("command")) for event, told in lab.events])
    lab.fail_calls = None
    lab.show(CAMERA, picture(), 1)
    until(page, lambda: seen(page, card) == ("blue", "red"))


def test_picture_on_its_side_is_high_and_not_cut_off(page: Page, lab: CameraLab, card: Locator) -> None:
    lab.results["view"] = {**VIEW, "rotation": 90}
    enter(page, lab)
    lab.show(CAMERA, picture(), 1)
    expect(card.get_by_test_id("signal")).to_be_hidden()
    canvas, stage = card.get_by_test_id("picture"), card.locator(".camera-stage")

    def fits() -> bool:
        inner, outer = canvas.bounding_box(), stage.bounding_box()
        return bool(inner and outer) and all(abs(inner[side] - outer[side]) <= 4 for side in ("width", "height"))

    until(page, fits)
    shot = Image.open(io.BytesIO(stage.screenshot())).convert("RGB")
    top, bottom = (shot.getpixel((shot.width // 2, shot.height * part // 8)) for part in (3, 5))
    assert (top[0] > 150, bottom[2] > 150) == (True, True)  # left is up where it is turned clockwise


def test_place_of_the_picture_does_not_jump_when_it_comes(page: Page, lab: CameraLab, card: Locator) -> None:
    lab.results["view"] = {**VIEW, "size": "64x48"}
    enter(page, lab)
    stage = card.locator(".camera-stage")
    until(page, lambda: "64 / 48" in (stage.get_attribute("style") or ""))
    before = stage.bounding_box()
    lab.show(CAMERA, picture(), 1)
    expect(card.get_by_test_id("signal")).to_be_hidden()
    assert stage.bounding_box() == before


def test_no_signal_is_said_with_its_reason_until_a_later_picture(page: Page, lab: CameraLab, card: Locator) -> None:
    enter(page, lab)
    lab.show(CAMERA, picture(), 1)
    signal = card.get_by_test_id("signal")
    expect(signal).to_be_hidden()
    lab.signal(False, "connection refused", since=1_700_000_010.0)
    expect(signal).to_have_text("No signalconnection refused")
    lab.show(CAMERA, picture(), 2)  # taken before the signal was lost, and only late
    page.wait_for_timeout(100)
    expect(signal).to_be_visible()
    lab.show(CAMERA, picture(), 20)
    expect(signal).to_be_hidden()


def test_signal_that_is_back_needs_no_new_picture_to_say_so(page: Page, lab: CameraLab, card: Locator) -> None:
    enter(page, lab)
    lab.show(CAMERA, picture(), 1)
    lab.signal(False, "no picture came for 5 s", since=1_700_000_010.0)
    expect(card.get_by_test_id("signal")).to_be_visible()
    lab.signal(True, since=1_700_000_011.0)
    expect(card.get_by_test_id("signal")).to_be_hidden()


def test_camera_that_is_offline_has_no_signal_and_no_snapshot(page: Page, lab: CameraLab, card: Locator) -> None:
    enter(page, lab)
    lab.show(CAMERA, picture(), 1)
    lab.set_camera("offline", "The camera was unplugged.")
    expect(card.get_by_test_id("signal")).to_contain_text("The camera is not reachable right now.")
    expect(card.get_by_test_id("snapshot")).to_be_disabled()
    lab.set_camera("ok")
    expect(card.get_by_test_id("signal")).to_be_hidden()
    expect(card.get_by_test_id("snapshot")).to_be_enabled()


def test_picture_that_gets_old_says_its_age(page: Page, lab: CameraLab, card: Locator) -> None:
    now = dt.datetime(2026, 3, 2, 14, tzinfo=dt.UTC)
    page.clock.set_fixed_time(now)
    enter(page, lab)
    lab.show(CAMERA, picture(), 1)
    expect(card.get_by_test_id("signal")).to_be_hidden()
    expect(card.get_by_test_id("age")).to_be_empty()
    page.clock.set_fixed_time(now + dt.timedelta(seconds=7))
    expect(card.get_by_test_id("age")).to_contain_text("old.")
    lab.show(CAMERA, picture(), 9)
    expect(card.get_by_test_id("age")).to_be_empty()


def test_snapshot_is_saved_as_the_camera_took_it(page: Page, lab: CameraLab, card: Locator) -> None:
    enter(page, lab)
    with page.expect_download() as download:
        card.get_by_test_id("snapshot").click()
    expect(card.get_by_test_id("notice")).to_have_text("The picture has been saved.")  # first: it goes by itself
    assert download.value.suggested_filename.startswith("bench-1-camera-")
    assert download.value.path().read_bytes() == picture()


def test_snapshot_of_a_turned_picture_is_saved_as_it_is_shown(page: Page, lab: CameraLab, card: Locator) -> None:
    lab.results["view"] = {**VIEW, "rotation": 90}
    enter(page, lab)
    until(page, lambda: card.locator(".camera").get_attribute("data-turned") == "true")
    with page.expect_download() as download:
        card.get_by_test_id("snapshot").click()
    saved = Image.open(download.value.path()).convert("RGB")
    assert saved.size == (48, 64)
    assert saved.getpixel((24, 8))[0] > 150
    assert saved.getpixel((24, 56))[2] > 150


def test_snapshot_that_fails_says_why(page: Page, lab: CameraLab, card: Locator) -> None:
    enter(page, lab)
    lab.fail_calls = {"kind": "DriverError", "message": "'bench-1/camera' gives no picture: connection refused."}
    card.get_by_test_id("snapshot").click()
    expect(card.get_by_test_id("notice")).to_have_text("'bench-1/camera' gives no picture: connection refused.")
    expect(card.get_by_test_id("snapshot")).to_be_enabled()


def test_picture_fills_the_screen_on_demand(page: Page, lab: CameraLab, card: Locator) -> None:
    enter(page, lab)
    lab.show(CAMERA, picture(), 1)
    card.get_by_test_id("fullscreen").click()
    until(page, lambda: page.evaluate("document.fullscreenElement?.className") == "camera-stage")
