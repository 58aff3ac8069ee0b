"""What the simulated camera sees: a board on a desk, a lamp for each line, a clock, a fan. Used by the scene program.

Everything is placed for a picture 640 pixels wide and scaled to the one that is asked for. What never changes is drawn
once; a picture is that, the lamps, the clock's figures and the fan.
"""

from __future__ import annotations

import io
import random
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import ceil

from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont

SIZE = (640, 360)

_LAMPS = (206, 132, 584, 282)  # left, top, right, bottom of the field of lamps, at the width of 640
_ROW = 6  # lamps in a row, until the rows are full
_ROWS = 3
_FINE = 2  # what stands still is drawn so much larger, and made smaller then

_COLOURS = {
    "red": (255, 52, 44),
    "green": (46, 226, 104),
    "blue": (66, 150, 255),
    "yellow": (255, 214, 48),
    "orange": (255, 140, 26),
    "white": (244, 244, 255),
}
_OTHERS = ((255, 168, 38), (120, 220, 255), (190, 130, 255), (255, 110, 170))

_Pixel = tuple[int, int, int]


@dataclass(frozen=True, kw_only=True)
class Lamp:
    """How a line is shown. incoming: the board reads it, so it has a square frame."""

    lit: bool
    incoming: bool = False


def lamp_places(names: Sequence[str], size: tuple[int, int] = SIZE) -> dict[str, tuple[int, int]]:
    """The middle of each line's lamp in a picture of this size, in pixels; for tests, too."""
    scale = size[0] / SIZE[0]
    left, top, right, bottom = _LAMPS
    columns, rows = _grid(len(names))
    places = {}
    for number, name in enumerate(names):
        row, column = divmod(number, columns)
        x = left + (right - left) * (column + 0.5) / columns
        y = top + (bottom - top) * (row + 0.5) / rows - 8
        places[name] = (round(x * scale), round(y * scale))
    return places


def lamp_colour(name: str, number: int) -> _Pixel:
    """The colour of a lamp: what its name says, else one of several by its number."""
    said = (colour for word, colour in _COLOURS.items() if word in name.lower())
    return next(said, _OTHERS[number % len(_OTHERS)])


class Painter:
    """Draws pictures of one bench."""

    def __init__(self, title: str, size: tuple[int, int] = SIZE, quality: int = 80):
        self._title = title
        self._size = size
        self._quality = quality
        self._scale = size[0] / SIZE[0]
        self._still: tuple[tuple[tuple[str, bool], ...], Image.Image] | None = None

    def jpeg(self, lamps: Mapping[str, Lamp], at: float) -> bytes:
        """The picture as JPEG. at: UTC seconds, for the clock."""
        return _encode(self.picture(lamps, at), self._quality)

    def noise(self) -> bytes:
        """What a broken camera shows: a whole JPEG, of noise."""
        grain = Image.effect_noise((self._size[0] // 4, self._size[1] // 4), 120).resize(
            self._size, Image.Resampling.NEAREST
        )
        return _encode(grain.convert("RGB"), self._quality)

    def picture(self, lamps: Mapping[str, Lamp], at: float) -> Image.Image:
        image = self._background(lamps).copy()
        places = lamp_places(list(lamps), self._size)
        radius = self._radius(len(lamps))
        for number, (name, lamp) in enumerate(lamps.items()):
            sprite = _lamp(lamp_colour(name, number), radius, lamp.lit)
            x, y = places[name]
            image.paste(sprite, (x - sprite.width // 2, y - sprite.height // 2), sprite)
        self._clock(image, at)
        self._fan(image, at)
        return image

    def _radius(self, count: int) -> int:
        columns, rows = _grid(count)
        return max(4, round(min(17, 0.3 * (_LAMPS[2] - _LAMPS[0]) / columns, 36 / rows) * self._scale))

    def _clock(self, image: Image.Image, at: float) -> None:
        tenths = int(at * 10)
        figures = f"{time.strftime('%H:%M:%S', time.gmtime(tenths // 10))}.{tenths % 10}"
        x, y = self._at(598, 48)
        ImageDraw.Draw(image).text(
            (x, y), figures, font=_font(round(27 * self._scale)), fill=(126, 240, 255), anchor="rm"
        )

    def _fan(self, image: Image.Image, at: float) -> None:
        wheel = _wheel(round(30 * self._scale)).rotate(-(at * 90) % 360, Image.Resampling.BICUBIC)
        x, y = self._at(120, 248)
        image.paste(wheel, (x - wheel.width // 2, y - wheel.height // 2), wheel)

    def _at(self, x: float, y: float) -> tuple[int, int]:
        return round(x * self._scale), round(y * self._scale)

    def _background(self, lamps: Mapping[str, Lamp]) -> Image.Image:
        """Desk, board and names; drawn anew where other lines are there now."""
        shown = tuple((name, lamp.incoming) for name, lamp in lamps.items())
        if self._still is None or self._still[0] != shown:
            self._still = (shown, self._draw_background(shown))
        return self._still[1]

    def _draw_background(self, shown: Sequence[tuple[str, bool]]) -> Image.Image:
        scale = self._scale * _FINE
        large = (self._size[0] * _FINE, self._size[1] * _FINE)
        image = _desk(large, scale)
        pen = _Pen(image, scale)
        pen.shadow((30, 98, 612, 306), 14)
        _board(pen)
        _signs(pen, self._title)
        places = lamp_places([name for name, _ in shown], large)
        radius = self._radius(len(shown)) * _FINE
        for name, incoming in shown:
            _socket(pen, places[name], radius, name, incoming)
        return _vignette(image.resize(self._size, Image.Resampling.LANCZOS))


class _Pen:
    """Draws on an image by the measures of the picture that is 640 wide."""

    def __init__(self, image: Image.Image, scale: float):
        self.image = image
        self.scale = scale
        self.draw = ImageDraw.Draw(image)

    def box(self, place: Sequence[float], radius: float, fill: _Pixel, outline: _Pixel | None = None) -> None:
        self.draw.rounded_rectangle(self.to(place), radius * self.scale, fill, outline, max(1, round(1.5 * self.scale)))

    def disc(self, x: float, y: float, radius: float, fill: _Pixel) -> None:
        self.draw.ellipse(self.to((x - radius, y - radius, x + radius, y + radius)), fill)

    def line(self, places: Sequence[float], fill: _Pixel, width: float) -> None:
        self.draw.line(self.to(places), fill, max(1, round(width * self.scale)), joint="curve")

    def text(self, x: float, y: float, text: str, size: float, fill: _Pixel, anchor: str) -> None:
        self.draw.text((x * self.scale, y * self.scale), text, fill, _font(round(size * self.scale)), anchor)

    def shadow(self, place: Sequence[float], blur: float) -> None:
        mask = Image.new("L", self.image.size, 0)
        ImageDraw.Draw(mask).rounded_rectangle(self.to(place), 12 * self.scale, 150)
        self.image.paste((8, 12, 16), (0, 0), mask.filter(ImageFilter.GaussianBlur(blur * self.scale)))

    def to(self, place: Iterable[float]) -> list[float]:
        return [value * self.scale for value in place]


def _desk(size: tuple[int, int], scale: float) -> Image.Image:
    """A dark mat with a fine grid, lighter where the lamp of the room is."""
    wide = (size[0] * 2, size[1] * 3)
    pool = Image.radial_gradient("L").resize(wide, Image.Resampling.BICUBIC)
    light = pool.crop((size[0] * 3 // 4, size[1] * 3 // 2, size[0] * 7 // 4, size[1] * 5 // 2))
    image = Image.composite(Image.new("RGB", size, (24, 36, 46)), Image.new("RGB", size, (72, 98, 110)), light)
    draw = ImageDraw.Draw(image)
    for step in range(0, 640, 20):
        colour = (78, 102, 114) if step % 100 == 0 else (58, 79, 91)
        draw.line([(step * scale, 0), (step * scale, size[1])], colour)
        draw.line([(0, step * scale), (size[0], step * scale)], colour)
    return image


def _board(pen: _Pen) -> None:
    """The board: its edge, holes, traces, chip, plug and pins."""
    pen.box((30, 96, 610, 302), 11, (11, 84, 66), (34, 130, 104))
    for x in (44, 596):
        for y in (110, 288):
            pen.disc(x, y, 8, (214, 178, 92))
            pen.disc(x, y, 4.6, (32, 44, 50))
    for number in range(7):
        begin, end = 144 + number * 8, 140 + number * 22
        pen.line((150, begin, 166, begin, 166 + abs(end - begin), end, 590, end), (16, 102, 80), 1.4)
    _fan_frame(pen)
    for number in range(8):
        pen.line((82, 140 + number * 8, 158, 140 + number * 8), (198, 204, 208), 2.4)
    pen.box((90, 133, 150, 203), 3, (27, 29, 33), (50, 53, 58))
    pen.disc(98, 141, 2.4, (74, 78, 84))
    pen.text(120, 168, "labkit", 13, (158, 164, 170), "mm")
    pen.box((14, 152, 48, 184), 3, (186, 192, 198), (122, 128, 134))
    for number in range(18):
        pen.disc(222 + number * 20, 110, 4, (222, 186, 96))
        pen.disc(222 + number * 20, 110, 1.9, (60, 52, 30))


def _fan_frame(pen: _Pen) -> None:
    pen.box((82, 210, 158, 286), 9, (38, 42, 48), (66, 72, 80))
    pen.disc(120, 248, 34, (18, 21, 25))


def _signs(pen: _Pen, title: str) -> None:
    """The strip with the bench's name, and the clock's case."""
    width = min(330.0, pen.draw.textlength(title, _font(round(22 * pen.scale))) / pen.scale + 34)
    pen.shadow((32, 26, 30 + width, 72), 5)
    pen.box((30, 24, 30 + width, 70), 4, (240, 236, 222))
    pen.text(47, 47, title, 22, (34, 36, 40), "lm")
    pen.shadow((398, 20, 612, 78), 5)
    pen.box((396, 18, 610, 76), 8, (13, 18, 23), (62, 74, 84))
    pen.text(408, 48, "UTC", 12, (72, 128, 140), "lm")


def _socket(pen: _Pen, place: tuple[int, int], radius: float, name: str, incoming: bool) -> None:
    """Where a lamp sits, with its line's name under it; a square one where the board reads the line."""
    x, y = place[0] / pen.scale, place[1] / pen.scale
    reach = radius / pen.scale + 4
    frame = (x - reach, y - reach, x + reach, y + reach)
    pen.box(frame, 3 if incoming else reach, (8, 58, 46), (206, 226, 214))
    size = max(8.0, min(13.0, reach))
    pen.text(x, y + reach + 3 + size / 2, name, size, (232, 240, 234), "mm")


def _vignette(image: Image.Image) -> Image.Image:
    """Darker towards the corners, as lenses are."""
    shade = (
        Image.radial_gradient("L").resize(image.size, Image.Resampling.BICUBIC).point(lambda value: 255 - value // 4)
    )
    return ImageChops.multiply(image, Image.merge("RGB", (shade, shade, shade)))


@cache
def _lamp(colour: _Pixel, radius: int, lit: bool) -> Image.Image:
    """A lamp as a picture with transparent edges; a lit one has a glow around it."""
    side = radius * 8
    image = Image.new("RGBA", (side, side), (*colour, 0))
    if lit:
        glow = Image.radial_gradient("L").resize((side, side), Image.Resampling.BICUBIC)
        image.putalpha(glow.point(lambda value: round(max(0.0, 1 - value / 180) ** 2 * 235)))
    body = Image.new("RGBA", (side * 4, side * 4), (0, 0, 0, 0))
    draw, middle = ImageDraw.Draw(body), side * 2
    steps = 12
    for step in range(steps):
        reach = radius * 4 * (1 - step / steps)
        draw.ellipse(
            (middle - reach, middle - reach, middle + reach, middle + reach), _shade(colour, step / steps, lit)
        )
    if not lit:
        spot = radius * 4
        draw.ellipse(
            (middle - 0.55 * spot, middle - 0.6 * spot, middle - 0.15 * spot, middle - 0.25 * spot),
            (120, 132, 130, 150),
        )
    image.alpha_composite(body.resize((side, side), Image.Resampling.LANCZOS))
    return image


def _shade(colour: _Pixel, towards_middle: float, lit: bool) -> tuple[int, int, int, int]:
    if lit:
        red, green, blue = (round(value + (255 - value) * 0.55 * towards_middle**2) for value in colour)
    else:
        red, green, blue = (round(16 + value * (0.11 + 0.09 * towards_middle)) for value in colour)
    return red, green, blue, 255


@cache
def _wheel(radius: int) -> Image.Image:
    """The fan's wheel, one blade of another colour so that its turning shows."""
    side = radius * 2 * 4
    image = Image.new("RGBA", (side, side), (0, 0, 0, 0))
    draw = ImageDraw.Draw(image)
    for blade in range(5):
        colour = (236, 132, 62, 255) if blade == 0 else (104, 116, 128, 255)
        draw.pieslice((4, 4, side - 4, side - 4), blade * 72, blade * 72 + 40, colour)
    hub = side * 0.14
    draw.ellipse((side / 2 - hub, side / 2 - hub, side / 2 + hub, side / 2 + hub), (206, 212, 218, 255))
    return image.resize((radius * 2, radius * 2), Image.Resampling.LANCZOS)


def _grid(count: int) -> tuple[int, int]:
    rows = min(_ROWS, max(1, ceil(count / _ROW)))
    return max(1, ceil(count / rows)), rows


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(max(6, size))


def _encode(image: Image.Image, quality: int) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality)
    return out.getvalue()


def broken_bytes(length: int) -> bytes:
    """No picture at all: what must reach nobody."""
    return random.randbytes(length)
