"""What the simulated camera sees."""

from __future__ import annotations

import pytest

from labkit_plugins.camera.painting import Lamp, Painter, lamp_places
from tests.plugins.camera.conftest import opened

NAMES = ["red", "green", "blue", "led1"]


def seen(lit: set[str], size: tuple[int, int] = (640, 360)) -> dict[str, tuple[int, int, int]]:
    lamps = {name: Lamp(lit=name in lit, incoming=name == "led1") for name in NAMES}
    image = opened(Painter("bench-1", size).jpeg(lamps, 0.0))
    assert image.size == size
    return {name: image.getpixel(place) for name, place in lamp_places(NAMES, size).items()}


@pytest.mark.parametrize("size", [(320, 180), (640, 360), (1280, 720), (640, 480)])
def test_lit_lamps_are_bright_and_dark_ones_dark(size: tuple[int, int]) -> None:
    pixels = seen({"red", "led1"}, size)
    assert max(pixels["red"]) > 200
    assert max(pixels["led1"]) > 200
    assert max(pixels["green"]) < 110
    assert max(pixels["blue"]) < 110


def test_lamp_has_the_colour_that_its_name_says() -> None:
    pixels = seen({"red", "green", "blue"})
    assert pixels["red"][0] == max(pixels["red"])
    assert pixels["green"][1] == max(pixels["green"])
    assert pixels["blue"][2] == max(pixels["blue"])


@pytest.mark.parametrize("count", [0, 1, 6, 7, 18, 40])
def test_any_number_of_lines_has_its_place_in_the_picture(count: int) -> None:
    names = [f"line{number}" for number in range(count)]
    Painter("bench-1").picture({name: Lamp(lit=True) for name in names}, 0.0)
    places = lamp_places(names).values()
    assert len(set(places)) == count
    assert all(0 < x < 640 and 0 < y < 360 for x, y in places)


def test_clock_and_fan_move() -> None:
    painter = Painter("bench-1")
    assert painter.jpeg({}, 100.0) == painter.jpeg({}, 100.0)
    assert painter.jpeg({}, 100.0) != painter.jpeg({}, 100.1)


def test_noise_is_a_picture() -> None:
    assert opened(Painter("bench-1").noise()).size == (640, 360)
