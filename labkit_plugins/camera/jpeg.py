"""JPEG as bytes: is it whole, how large is the picture, has it all that a browser needs. Used before any is shown.

Nothing is decoded. Source of the rules: ITU-T T.81, annex B (markers) and annex K.3 (the usual Huffman tables).
"""

from __future__ import annotations

from collections.abc import Iterator

SOI, EOI = b"\xff\xd8", b"\xff\xd9"
_SOS, _DHT = 0xDA, 0xC4
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # SOF0 to SOF15; the three mean other things
_WITHOUT_LENGTH = frozenset(range(0xD0, 0xD8)) | {0x01}
_LARGEST = 32 * 1024 * 1024
_MOST_SEGMENTS = 4096  # a picture has some dozens; each costs time of the process that has all devices

_DC_VALUES = "000102030405060708090a0b"
_TABLES = (
    ("00", "00010501010101010100000000000000", _DC_VALUES),
    (
        "10",
        "0002010303020403050504040000017d",
        "01020300041105122131410613516107227114328191a1082342b1c11552d1f02433627282090a161718191a25262728292a3435363738"
        "393a434445464748494a535455565758595a636465666768696a737475767778797a838485868788898a92939495969798999aa2a3a4a5"
        "a6a7a8a9aab2b3b4b5b6b7b8b9bac2c3c4c5c6c7c8c9cad2d3d4d5d6d7d8d9dae1e2e3e4e5e6e7e8e9eaf1f2f3f4f5f6f7f8f9fa",
    ),
    ("01", "00030101010101010101010000000000", _DC_VALUES),
    (
        "11",
        "00020102040403040705040400010277",
        "000102031104052131061241510761711322328108144291a1b1c109233352f0156272d10a162434e125f11718191a262728292a353637"
        "38393a434445464748494a535455565758595a636465666768696a737475767778797a82838485868788898a92939495969798999aa2a3"
        "a4a5a6a7a8a9aab2b3b4b5b6b7b8b9bac2c3c4c5c6c7c8c9cad2d3d4d5d6d7d8d9dae2e3e4e5e6e7e8e9eaf2f3f4f5f6f7f8f9fa",
    ),
)
_USUAL_TABLES = bytes.fromhex("".join("".join(table) for table in _TABLES))
HUFFMAN = b"\xff\xc4" + (len(_USUAL_TABLES) + 2).to_bytes(2, "big") + _USUAL_TABLES
"""The DHT segment that cameras leave out, since every decoder of motion JPEG knows it; browsers don't."""


class NotAPictureError(ValueError):
    """The bytes are no whole JPEG picture."""


def picture(data: bytes) -> tuple[bytes, int, int]:
    """The picture as a browser can show it, its width and its height.

    What is whole and complete is returned as it is. Zeros behind the end are cut off (a camera's buffer), and Huffman
    tables are put in where there are none. Errors: `NotAPictureError`.
    """
    if len(data) > _LARGEST:
        raise NotAPictureError(f"it has {len(data)} bytes, more than {_LARGEST}")
    if not data.endswith(EOI):
        data = data.rstrip(b"\0")
    if not data.startswith(SOI) or not data.endswith(EOI):
        raise NotAPictureError("it does not begin and end as a JPEG picture does")
    size, tables = None, False
    for marker, start, length in _segments(data):
        if marker in _FRAMES:
            size = _size(data, start, length)
        tables = tables or marker == _DHT
        if marker == _SOS:
            if size is None:
                break
            return (data if tables else data[: start - 4] + HUFFMAN + data[start - 4 :]), *size
    raise NotAPictureError("it has no picture in it")


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker, place and length of what each segment holds, up to the picture's own data."""
    at = len(SOI)
    for _ in range(_MOST_SEGMENTS):
        if at + 4 > len(data):
            return
        if data[at] != 0xFF:
            raise NotAPictureError("its segments are broken")
        marker = data[at + 1]
        if marker == 0xFF:  # filling
            at += 1
        elif marker in _WITHOUT_LENGTH:
            at += 2
        else:
            length = int.from_bytes(data[at + 2 : at + 4], "big")
            if length < 2 or at + 2 + length > len(data):
                raise NotAPictureError("its segments are broken")
            yield marker, at + 4, length - 2
            at += 2 + length
    raise NotAPictureError("its segments are broken")


def _size(data: bytes, start: int, length: int) -> tuple[int, int]:
    if length < 6:
        raise NotAPictureError("its segments are broken")
    height, width = (
        int.from_bytes(data[start + 1 : start + 3], "big"),
        int.from_bytes(data[start + 3 : start + 5], "big"),
    )
    if not width or not height:
        raise NotAPictureError("its size is zero")
    return width, height
