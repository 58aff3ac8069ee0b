"""Which port a declaration means."""

from __future__ import annotations

from pathlib import Path

import pytest
from serial.tools.list_ports_common import ListPortInfo

from labkit.errors import DeviceOfflineError
from labkit_plugins.serial.options import SerialOptions
from labkit_plugins.serial.ports import Port, find_port, port_of

UNO = Port(path="/dev/ttyACM0", usb_serial="7543", usb_id="2341:0043", usb_interface=0)
FTDI_A = Port(path="/dev/ttyUSB0", usb_serial="FT1", usb_id="0403:6011", usb_interface=0)
FTDI_B = Port(path="/dev/ttyUSB1", usb_serial="FT1", usb_id="0403:6011", usb_interface=1)
BUILT_IN = Port(path="/dev/ttyS0")


def find(**match: object) -> str:
    options = SerialOptions.model_validate({"match": match})
    return find_port(options, "bench-1/console", lambda: [UNO, FTDI_A, FTDI_B, BUILT_IN])


def test_found_by_serial_number() -> None:
    assert find(usb_serial="7543") == "/dev/ttyACM0"


def test_found_by_vendor_and_product_in_any_case() -> None:
    assert find(usb_id="2341:0043") == "/dev/ttyACM0"


def test_found_by_interface_of_an_adapter_with_several() -> None:
    assert find(usb_serial="FT1", usb_interface=1) == "/dev/ttyUSB1"


def test_nothing_fits_names_what_is_there() -> None:
    with pytest.raises(DeviceOfflineError) as caught:
        find(usb_serial="9999")
    assert "A USB port with usb_serial = '9999' of 'bench-1/console' is not there" in str(caught.value)
    assert "/dev/ttyACM0 (2341:0043, serial 7543, interface 0)" in str(caught.value)


def test_two_that_fit_are_refused_by_name() -> None:
    with pytest.raises(DeviceOfflineError, match=r"2 ports fit the match .*/dev/ttyUSB0.*/dev/ttyUSB1.*one is left"):
        find(usb_id="0403:6011")


def test_what_pyserial_finds_becomes_a_port(tmp_path: Path) -> None:
    (tmp_path / "bInterfaceNumber").write_text("0a\n")
    info = ListPortInfo("/dev/ttyUSB3")
    info.vid, info.pid, info.serial_number = 0x0403, 0x6011, "FT1"
    vars(info)["usb_interface_path"] = str(tmp_path)
    assert port_of(info) == Port(path="/dev/ttyUSB3", usb_serial="FT1", usb_id="0403:6011", usb_interface=10)
    assert port_of(ListPortInfo("/dev/ttyS0")) == Port(path="/dev/ttyS0")
