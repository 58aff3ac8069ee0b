"""Feeds of frames on the page: the newest picture on a canvas, one after another, as fast as the page can show them."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.harness import PREFIX, PretendedLab
from tests.browser.student import enter, until

CAMERA = "bench-1/camera"
PAINT = """(colour) => {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [64, 48];
    const context = canvas.getContext("2d");
    context.fillStyle = colour;
    context.fillRect(0, 0, 64, 48);
    return canvas.toDataURL("image/jpeg", 1).split(",")[1];
}"""
LOOK = """(canvas) => {
    if (!canvas.width || !canvas.height) return "nothing";
    const [red, green, blue] = canvas.getContext("2d").getImageData(canvas.width / 2, canvas.height / 2, 1, 1).data;
    return red > 200 ? "red" : green > 100 ? "green" : blue > 200 ? "blue" : "dark";
}"""
HIDE = """(hidden) => {
    Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
    document.dispatchEvent(new Event("visibilitychange"));
}"""
SLOW_PANEL = """export default function mount(element, device) {
    window.shown = [];
    window.stop = device.subscribe("frames", (frame, note) => {
        window.shown.push([Array.from(frame.jpeg), frame.captured, frame.width, frame.height, note.lost, note.history]);
        return new Promise((done) => (window.done = done));
    });
}"""

FAILING_PANEL = """export default async function mount(element, device) {
    const { showFrames } = await import(device.assets + "picture.js");
    const canvas = document.createElement("canvas");
    element.append(canvas);
    showFrames(device, "frames", canvas);
    throw new Error("it fails");
}"""


@pytest.fixture
def camera(lab: PretendedLab) -> dict[str, Any]:
    """A camera without a panel of its own beside the console."""
    device: dict[str, Any] = {
        "name": CAMERA, "title": "Camera", "kind": "camera", "panel": None, "condition": "ok", "reason": "",
        "commands": {}, "feeds": {"frames": {"type": "frames", "help": "What the camera sees."}},
    }  # fmt: skip
    lab.extra_devices = [device]
    return device


def jpeg(page: Page, colour: str) -> bytes:
    return base64.b64decode(page.evaluate(PAINT, colour))


def acknowledged(lab: PretendedLab) -> list[int]:
    return [told["id"] for event, told in lab.events if event == "ack" and told.get("device") == CAMERA]


def asked(lab: PretendedLab) -> list[Any]:
    return [told["cursor"] for event, told in lab.events if event == "subscribe" and told["device"] == CAMERA]


def left(lab: PretendedLab) -> int:
    return sum(event == "unsubscribe" and told["device"] == CAMERA for event, told in lab.events)


def looks(page: Page, colour: str) -> None:
    canvas = page.locator(f'[data-device="{CAMERA}"] canvas')
    until(page, lambda: canvas.evaluate(LOOK) == colour)


@pytest.mark.usefixtures("camera")
def test_frames_without_a_panel_are_shown_as_a_picture(page: Page, lab: PretendedLab) -> None:
    enter(page, lab)
    canvas = page.get_by_role("img", name="Feed frames: no picture yet")
    expect(canvas).to_be_visible()
    expect(page.locator(f'[data-device="{CAMERA}"]')).to_contain_text("What the camera sees.")
    lab.show(CAMERA, jpeg(page, "red"), 1)
    looks(page, "red")
    expect(page.get_by_role("img", name="Feed frames: a picture of 64 \u00d7 48")).to_be_visible()
    lab.show(CAMERA, b"\xff\xd8 no picture at all", 2)
    lab.show(CAMERA, jpeg(page, "green"), 3)
    looks(page, "green")
    until(page, lambda: acknowledged(lab) == [1, 2, 3])


@pytest.mark.usefixtures("camera")
def test_page_that_nobody_sees_lets_the_camera_rest(page: Page, lab: PretendedLab) -> None:
    enter(page, lab)
    until(page, lambda: asked(lab) == [None])
    lab.show(CAMERA, jpeg(page, "red"), 1)
    looks(page, "red")
    page.evaluate(HIDE, True)
    until(page, lambda: left(lab) == 1)
    lab.show(CAMERA, jpeg(page, "green"), 2)  # it was on its way
    until(page, lambda: 2 in acknowledged(lab))
    looks(page, "red")
    page.evaluate(HIDE, False)
    until(page, lambda: asked(lab) == [None, None])
    lab.show(CAMERA, jpeg(page, "blue"), 3)
    looks(page, "blue")
    assert left(lab) == 1


def test_panel_that_failed_does_not_take_the_feed_from_its_successor(
    page: Page, lab: PretendedLab, camera: dict[str, Any], complaints: list[str]
) -> None:
    lab.panels["failing"] = FAILING_PANEL
    camera["panel"] = f"{PREFIX}/labkit/panels/failing.js"
    enter(page, lab)
    expect(page.locator(f'[data-device="{CAMERA}"]')).to_contain_text("Here are its plain controls.")
    assert "it fails" in complaints.pop()
    page.evaluate(HIDE, True)
    page.evaluate(HIDE, False)
    lab.show(CAMERA, jpeg(page, "blue"), 1)
    looks(page, "blue")


@pytest.mark.usefixtures("camera")
def test_frames_go_on_with_the_next_connection(page: Page, lab: PretendedLab) -> None:
    enter(page, lab)
    until(page, lambda: asked(lab) == [None])
    lab.show(CAMERA, jpeg(page, "red"), 700)
    looks(page, "red")
    lab.break_connections()
    until(page, lambda: asked(lab) == [None, None])
    lab.show(CAMERA, jpeg(page, "blue"), 1)  # another process, which counts anew
    looks(page, "blue")
    until(page, lambda: acknowledged(lab) == [700, 1])


def test_a_slow_panel_is_given_one_frame_after_another_and_acknowledges_what_it_has_shown(
    page: Page, lab: PretendedLab, camera: dict[str, Any]
) -> None:
    lab.panels["slow"] = SLOW_PANEL
    camera["panel"] = f"{PREFIX}/labkit/panels/slow.js"
    enter(page, lab)
    lab.show(CAMERA, b"one", 1)
    lab.show(CAMERA, b"two", 2)
    until(page, lambda: page.evaluate("shown.length") == 1)
    assert page.evaluate("shown[0]") == [[*b"one"], 1_700_000_001.5, 64, 48, 0, False]
    assert acknowledged(lab) == []
    page.evaluate("done()")
    until(page, lambda: page.evaluate("shown.length") == 2)
    until(page, lambda: acknowledged(lab) == [1])
    lab.show(CAMERA, b"three", 3)
    page.evaluate("stop()")  # what it was sent is not shown any more, and holds up nobody who listens next
    until(page, lambda: 3 in acknowledged(lab))
    page.evaluate("done()")
    lab.show(CAMERA, b"four", 4)
    until(page, lambda: 4 in acknowledged(lab))
    assert page.evaluate("shown.length") == 2


def test_the_module_for_pictures_is_as_the_documentation_says(
    page: Page, lab: PretendedLab, camera: dict[str, Any], root: Path
) -> None:
    text = (root / "docs" / "reference" / "panels.md").read_text("utf-8")
    (example,) = [block.split("```")[0] for block in text.split("```js\n") if "showFrames(" in block.split("```")[0]]
    lab.panels["shown"] = (
        "export default async function mount(element, device) {\n"
        'const canvas = document.createElement("canvas"), age = document.createElement("output");\n'
        f"element.append(canvas, age);\n{example}}}"
    )
    camera["panel"] = f"{PREFIX}/labkit/panels/shown.js"
    enter(page, lab)
    lab.show(CAMERA, jpeg(page, "blue"), 1)
    looks(page, "blue")
    expect(page.locator(f'[data-device="{CAMERA}"] output')).to_have_text("2023-11-14T22:13:21.500Z")
