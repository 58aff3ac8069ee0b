"""Which serial ports are found, what they are called, and what keeps a user from them."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from labkit.plugin import Found
from labkit_plugins.serial import SerialOptions, SerialPort
from labkit_plugins.serial.ports import Port
from labkit_plugins.serial.scan import Places, scan_ports
from tests.conftest import OrdinaryUser

AS_NOBODY = """
import fcntl, json
from labkit_plugins.serial.ports import Port
from labkit_plugins.serial.scan import scan_ports
become_ordinary()
(found,) = scan_ports(lambda: [Port(path=sys.argv[1])])[:1]
print(json.dumps([found.trouble, found.remedy, dict(found.facts)]))
"""


@pytest.fixture
def tty() -> Iterator[str]:
    """A real tty of this machine; that nobody would call it a port does not matter here."""
    near, far = pty.openpty()
    path = os.ttyname(far)
    os.close(far)
    yield path
    os.close(near)


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """A machine of a test's own, but for its processes."""
    for folder in ("dev", "sys"):
        (tmp_path / folder).mkdir()
    return Places(nodes=tmp_path / "dev", kernel=tmp_path / "sys")


def link_to(path: str, places: Places, folder: str, name: str) -> str:
    link = places.nodes / "serial" / folder / name
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(path)
    return str(link)


def usb(path: str, *, serial: str | None = "7543", interface: int = 0, usb_id: str = "2341:0043") -> Port:
    return Port(
        path=path, usb_serial=serial, usb_id=usb_id, usb_interface=interface, manufacturer="Arduino", product="Uno"
    )


def found_at(places: Places, *ports: Port) -> list[Found]:
    return scan_ports(lambda: ports, places)


def test_port_has_the_name_that_survives_a_replug_and_all_that_identifies_it(tty: str, places: Places) -> None:
    link_to(tty, places, "by-path", "pci-0000:00:14.0-usb-0:1:1.0")
    name = link_to(tty, places, "by-id", "usb-Arduino_Uno_7543-if00")
    (found,) = found_at(places, usb(tty))
    assert (found.path, found.title) == (name, "Arduino Uno")
    assert (found.trouble, found.remedy) == ("", "")
    facts = dict(found.facts)
    assert facts.pop("open in").startswith("no program")
    assert facts == {
        "port": tty, "usb_id": "2341:0043", "usb_serial": "7543", "usb_interface": "0", "manufacturer": "Arduino",
        "product": "Uno",
    }  # fmt: skip


def test_port_is_declared_by_its_usb_serial_number(tty: str, places: Places) -> None:
    (found,) = found_at(places, usb(tty))
    assert found.options == {"match": {"usb_serial": "7543"}}


def test_ports_of_one_adapter_are_told_apart_by_their_interfaces(tty: str, places: Places) -> None:
    first, second = found_at(places, usb(tty), usb(tty, interface=2))
    assert first.options == {"match": {"usb_serial": "7543", "usb_interface": 0}}
    assert second.options == {"match": {"usb_serial": "7543", "usb_interface": 2}}


def test_same_serial_number_on_another_product_is_told_apart_by_its_id(tty: str, places: Places) -> None:
    first, _ = found_at(places, usb(tty, serial="0001"), usb(tty, serial="0001", usb_id="10c4:ea60"))
    assert first.options == {"match": {"usb_serial": "0001", "usb_interface": 0, "usb_id": "2341:0043"}}


def test_port_that_nothing_tells_apart_is_declared_by_its_place(tty: str, places: Places) -> None:
    name = link_to(tty, places, "by-path", "pci-0000:00:14.0-usb-0:1:1.0")
    twins = [usb(tty), usb(tty)]
    without = usb(tty, serial=None)
    for port in (*found_at(places, *twins), *found_at(places, without), *found_at(places, Port(path=tty))):
        assert port.options == {"port": name}


def test_every_declaration_that_is_proposed_is_one(tty: str, places: Places) -> None:
    ports = [usb(tty), usb(tty, interface=2), usb(tty, serial=None), Port(path=tty)]
    for found in found_at(places, *ports):
        SerialOptions.model_validate(dict(found.options))


def test_ports_without_hardware_behind_them_are_left_out(tty: str, places: Places) -> None:
    entry = places.kernel / Path(tty).name
    entry.mkdir()
    (entry / "type").write_text("0\n")
    assert found_at(places, Port(path=tty)) == []
    (entry / "type").write_text("4\n")
    assert len(found_at(places, Port(path=tty))) == 1


def test_console_of_the_kernel_is_no_port_to_use(tty: str, places: Places) -> None:
    (places.kernel / "console").mkdir()
    (places.kernel / "console" / "active").write_text(f"tty0 {Path(tty).name}\n")
    (found,) = found_at(places, Port(path=tty))
    assert found.trouble == "the kernel writes its messages to it"


def test_port_that_the_kernel_has_and_this_container_has_not(places: Places) -> None:
    (places.kernel / "ttyUSB0").mkdir()
    (found,) = found_at(places)
    assert "container" in found.trouble
    assert found.remedy == f"Start the container with --device={found.path}."
    (places.nodes / "ttyUSB0").touch()
    assert found_at(places) == []


def test_port_that_goes_while_it_is_looked_at_is_left_out(tty: str, places: Places) -> None:
    assert [one.path for one in found_at(places, Port(path="/dev/gone"), Port(path=tty))] == [tty]


def test_program_that_has_the_port_is_named_and_left_alone(tty: str, places: Places) -> None:
    with subprocess.Popen(["cat", tty], stdout=subprocess.DEVNULL) as other:
        while f"process {other.pid} (cat) has it open" != (found := found_at(places, Port(path=tty))[0]).trouble:
            assert other.poll() is None
        assert found.facts["open in"] == f"process {other.pid} (cat)"
        assert "unless it is the lab's own loop" in found.remedy
        other.terminate()


def test_missing_permission_is_named_with_what_grants_it(tty: str, ordinary_user: OrdinaryUser) -> None:
    os.chmod(tty, 0o000)
    trouble, remedy, facts = json.loads(ordinary_user.run(AS_NOBODY, tty))
    assert "may not open it (group " in trouble
    assert "mode 0000" in trouble
    assert remedy == "Give it a group by a udev rule."
    assert facts["open in"] == "no program that this user may see"


def test_another_users_program_is_named_where_it_has_locked_the_port(tty: str, ordinary_user: OrdinaryUser) -> None:
    os.chmod(tty, 0o666)
    fd = os.open(tty, os.O_RDWR | os.O_NOCTTY)
    fcntl.flock(fd, fcntl.LOCK_EX)
    trouble, _, _ = json.loads(ordinary_user.run(AS_NOBODY, tty))
    os.close(fd)
    assert trouble.startswith(f"process {os.getpid()} (")


def test_real_machine_is_looked_at_without_an_error_and_no_pty_is_a_port(tty: str) -> None:
    found = SerialPort.scan()
    assert tty not in [one.path for one in found]
    assert all(one.options for one in found)


def test_looking_needs_nothing_but_pyserial() -> None:
    code = "import sys, labkit_plugins.serial; print('serial' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "False\n"
