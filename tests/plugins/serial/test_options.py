"""What a declaration of a serial device may say, and how it is told where it is wrong."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from labkit_plugins.serial.options import SerialOptions


@pytest.mark.parametrize(
    "declared",
    [
        {"port": "/dev/ttyUSB0"},
        {"match": {"usb_id": "2341:0043"}},
        {"simulate": True},
        {"port": "/dev/ttyUSB0", "simulate": True},
        {"port": "/dev/ttyUSB0", "bytesize": 7, "parity": "even", "stopbits": 2, "xonxoff": True},
        {"port": "/dev/ttyUSB0", "dtr": False, "rts": "keep", "reset": {"line": "rts", "ms": 50}},
        {"port": "/dev/ttyUSB0", "rtscts": True},
        {"port": "/dev/ttyUSB0", "safe": {"send": "halt\r", "expect": "ok", "timeout": 1}},
        {"port": "/dev/ttyUSB0", "safe": {"reset": True}},
    ],
)
def test_good_declarations_pass(declared: dict[str, Any]) -> None:
    SerialOptions.model_validate(declared)


@pytest.mark.parametrize(
    ("declared", "problem"),
    [
        ({}, "say where it is: port or match"),
        ({"port": "/dev/a", "match": {"usb_id": "2341:0043"}}, "say port or match, not both"),
        ({"match": {}}, "match is empty"),
        ({"port": "COM3"}, "pattern"),
        ({"port": "/dev/a", "boudrate": 9600}, "Extra inputs"),
        ({"port": "/dev/a", "baudrate": 0}, "greater than or equal to 50"),
        ({"port": "/dev/a", "dtr": "off"}, "keep"),
        ({"port": "/dev/a", "rtscts": True, "rts": False}, "gives RTS to flow control"),
        ({"port": "/dev/a", "rtscts": True, "reset": {"line": "both"}}, "gives RTS to flow control"),
        ({"port": "/dev/a", "safe": {}}, "say exactly one of send"),
        ({"port": "/dev/a", "safe": {"send": "x", "reset": True}}, "say exactly one of send"),
        ({"port": "/dev/a", "safe": {"sent": "x"}}, "Extra inputs"),
        ({"port": "/dev/a", "safe": {"send": "x", "timeout": 0}}, "greater than 0"),
    ],
)
def test_bad_declarations_say_what_is_wrong(declared: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        SerialOptions.model_validate(declared)


def test_every_option_has_a_line_of_help() -> None:
    schema = SerialOptions.model_json_schema()
    for model in (schema, *schema["$defs"].values()):
        assert [name for name, key in model["properties"].items() if not key.get("description")] == []


@pytest.mark.parametrize(
    ("declared", "what", "path"),
    [
        ({"port": "/dev//serial/./by-id/x"}, "/dev/serial/by-id/x", ("port",)),
        ({"match": {"usb_serial": "7543"}}, "serial port with USB serial number 7543", ("match", "usb_serial")),
        (
            {"match": {"usb_interface": 1, "usb_serial": "7543", "usb_id": "2341:00AB"}},
            "serial port with USB serial number 7543, USB id 2341:00ab, USB interface 1",
            ("match", "usb_serial"),
        ),
        ({"match": {"usb_id": "1A86:7523"}}, "serial port with USB id 1a86:7523", ("match", "usb_id")),
    ],
)
def test_device_takes_what_its_declaration_names(declared: dict[str, Any], what: str, path: tuple[str, ...]) -> None:
    (taken,) = SerialOptions.model_validate(declared).takes()
    assert (str(taken), taken.path) == (what, path)


def test_device_that_names_nothing_takes_nothing() -> None:
    assert SerialOptions(simulate=True).takes() == ()


@pytest.mark.parametrize("port", ["/dev/ttyUSB0", "/dev/ttyACM12", "/dev/ttyCH343USB0"])
def test_port_that_is_counted_is_doubtful(port: str) -> None:
    (doubt,) = SerialOptions(port=port).doubts()
    assert doubt.path == ("port",)
    assert doubt.message.startswith(f"{port} may be another device after a restart or a replug.")


@pytest.mark.parametrize("port", ["/dev/ttyS0", "/dev/ttyAMA0", "/dev/serial/by-id/usb-x_ttyUSB0", "/tmp/board"])
def test_port_with_a_lasting_name_is_not(port: str) -> None:
    assert SerialOptions(port=port).doubts() == ()
