"""The command line of the simulated board."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit_plugins.serial.firmware import BANNER, PROMPT, Firmware


@pytest.fixture
def firmware() -> Firmware:
    return Firmware(lambda: 0.0)


def answer(firmware: Firmware, line: bytes) -> bytes:
    return firmware.feed(line + b"\r").removeprefix(line + b"\r\n").removesuffix(b"\r\n" + PROMPT)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"led 1 on", b"led 1 is on"),
        (b"led 1", b"led 1 is off"),
        (b"led 9 on", b"usage: led N [on|off], N is 1 to 4"),
        (b"led 1 maybe", b"led 1 can be on or off"),
        (b"temp", b"temp is 24.0 C"),
        (b"echo a  b", b"a b"),
        (b"uptime", b"uptime is 0.0 s"),
        (b"flood 20", b"0123456789abcdef0123"),
        (b"flood 0", b"usage: flood N, N is 1 to 4000000"),
        (b"halt", b"halted, all leds are off"),
        (b"nonsense", b"unknown command nonsense, type help"),
    ],
)
def test_commands_answer(firmware: Firmware, line: bytes, said: bytes) -> None:
    assert answer(firmware, line) == said


def test_help_names_every_command(firmware: Firmware) -> None:
    said = answer(firmware, b"help").decode()
    assert all(f"\n{name}" in f"\n{said}" for name in (*firmware._commands, "reset"))


def test_halt_and_reset_turn_leds_off(firmware: Firmware) -> None:
    firmware.feed(b"led 1 on\rled 4 on\r")
    assert firmware.leds == {1: True, 2: False, 3: False, 4: True}
    firmware.feed(b"halt\r")
    assert not any(firmware.leds.values())
    firmware.feed(b"led 2 on\r")
    assert firmware.feed(b"reset\r").endswith(BANNER + PROMPT)
    assert not any(firmware.leds.values())


@pytest.mark.parametrize("ending", [b"\r", b"\n", b"\r\n"])
def test_any_line_ending_ends_one_line(firmware: Firmware, ending: bytes) -> None:
    assert firmware.feed(b"led 1" + ending).count(PROMPT) == 1


def test_empty_line_gives_a_prompt(firmware: Firmware) -> None:
    assert firmware.feed(b"\r") == b"\r\n" + PROMPT


def test_backspace_corrects_and_stops_at_the_prompt(firmware: Firmware) -> None:
    assert firmware.feed(b"x\x7f\x7f\x08") == b"x\b \b"
    assert answer(firmware, b"led 1")


def test_ctrl_c_cancels_the_line(firmware: Firmware) -> None:
    assert firmware.feed(b"led 1 on\x03") == b"led 1 on^C\r\n" + PROMPT
    firmware.feed(b"\r")
    assert not firmware.leds[1]


def test_ctrl_u_rubs_the_line_out(firmware: Firmware) -> None:
    assert firmware.feed(b"ab\x15") == b"ab" + b"\b \b" * 2


@pytest.mark.parametrize("key", [b"\x1b[A", b"\x1b[1;5C", b"\x1b[3~", b"\x1bOP", b"\x1bx"])
def test_arrow_and_function_keys_type_nothing(firmware: Firmware, key: bytes) -> None:
    assert firmware.feed(key + b"a") == b"a"


def test_ctrl_c_gets_through_a_sequence_that_never_ended(firmware: Firmware) -> None:
    assert firmware.feed(b"\x1b[\x03led 1 on\r").endswith(b"led 1 is on\r\n> ")


def test_overlong_line_rings_the_bell(firmware: Firmware) -> None:
    assert firmware.feed(b"x" * 130) == b"x" * 128 + b"\x07\x07"


@given(st.binary(max_size=300))
def test_halt_after_ctrl_c_works_whatever_came_before(noise: bytes) -> None:
    firmware = Firmware(lambda: 0.0)
    firmware.feed(noise)
    assert firmware.feed(b"\x03halt\r").endswith(b"halted, all leds are off\r\n> ")


@given(st.binary(max_size=200), st.integers(0, 200))
def test_how_bytes_are_cut_makes_no_difference(data: bytes, cut: int) -> None:
    whole, cut_up = Firmware(lambda: 0.0), Firmware(lambda: 0.0)
    assert whole.feed(data) == cut_up.feed(data[:cut]) + cut_up.feed(data[cut:])


def test_button_says_so_and_shows_again_what_was_typed(firmware: Firmware) -> None:
    firmware.feed(b"led 1")
    assert firmware.press(True) == b"\r\nbutton pressed\r\n> led 1"
    assert firmware.press(False) == b"\r\nbutton released\r\n> led 1"
    assert b"led 1 is on" in firmware.feed(b" on\r")
