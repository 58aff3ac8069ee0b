"""Every driver is asked what is there; none can spoil it for the others; and what is declared is recognised."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from labkit.devices.declaration import BenchDeclaration, DeviceDeclaration
from labkit.devices.hardware import Looked, look
from labkit.plugin import Driver, DriverOptions, Found, Takes, UsbMatch
from tests.devices.test_missing_library import installed as installed


class FanOptions(DriverOptions):
    """Where a fan is."""

    slot: int | None = None
    path: str = ""
    match: UsbMatch | None = None

    def takes(self) -> Sequence[Takes]:
        if self.path == "raises":
            raise KeyError("path")
        return [] if self.slot is None else [Takes(what=f"slot {self.slot}", path=("slot",))]


def driver(kind: str, answer: Any) -> type[Driver[Any]]:
    """A driver whose look gives this, or does it."""

    class Fan(Driver[FanOptions]):
        @classmethod
        def scan(cls) -> Any:
            return answer() if callable(answer) else answer

    Fan.kind = kind
    return Fan


FOUND = Found(path="slot/1", title="Fan", options={"slot": 1})


def declared(name: str, kind: str = "fan", **options: Any) -> BenchDeclaration:
    device = DeviceDeclaration(
        bench="bench-1", name=name, driver=Driver, kind=kind, options=FanOptions.model_validate(options), line=1
    )
    return BenchDeclaration(
        name="bench-1", title="", features=(), machine=None, devices=(device,), file=Path("bench-1.toml")
    )


def marks(found: Found, *benches: BenchDeclaration) -> tuple[str, ...]:
    """As what one thing that a fan's driver has found is declared."""
    ((looked),) = look({"fan": driver("fan", [found])}, benches)
    return looked.seen[0].declared


def test_what_each_driver_found_stands_under_its_kind() -> None:
    looks = look({"pump": driver("pump", []), "fan": driver("fan", [FOUND])})
    assert [(one.kind, [seen.found for seen in one.seen]) for one in looks] == [("fan", [FOUND]), ("pump", [])]


def test_driver_that_cannot_look_is_not_asked() -> None:
    class Plain(Driver[DriverOptions]):
        kind = "plain"

    assert look({"plain": Plain}) == []


def raise_it(error: BaseException) -> Any:
    raise error


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (lambda: raise_it(ImportError("No module named 'gpiod'")), "ImportError: No module named 'gpiod'"),
        (lambda: raise_it(OSError(13, "Permission\ndenied")), "PermissionError: [Errno 13] Permission denied"),
        (lambda: raise_it(SystemExit(3)), "SystemExit: 3"),
        (None, "TypeError: scan() returned None; it returns a list"),
        (["slot/1"], "TypeError: scan() returned 'slot/1' where labkit.plugin.Found belongs"),
    ],
)
def test_driver_that_fails_is_shown_beside_what_others_found(answer: Any, error: str) -> None:
    bad, good = look({"bad": driver("bad", answer), "fan": driver("fan", [FOUND])})
    assert bad == Looked(kind="bad", error=error)
    assert [seen.found for seen in good.seen] == [FOUND]


@pytest.mark.usefixtures("installed")
def test_driver_whose_library_is_missing_is_shown_with_the_command_that_brings_it() -> None:
    missing = ModuleNotFoundError("No module named 'gpiod'", name="gpiod")
    (bad,) = look({"bad": driver("bad", lambda: raise_it(missing))})
    assert bad.remedy == 'pip install "labkit[gpio]"'


def test_driver_that_cannot_say_what_it_takes_hides_nothing_that_was_found() -> None:
    assert marks(FOUND, declared("cooler", path="raises"), declared("pump", slot=1)) == ("bench-1/pump",)


def test_driver_that_hangs_costs_nobody_else_what_was_found() -> None:
    released = threading.Event()
    drivers = {"a": driver("a", released.wait), "fan": driver("fan", [FOUND])}
    for seconds in (0.5, 5.0, 30.0):  # a busy machine may need more for the other one, too
        stuck, good = look(drivers, seconds=seconds)
        assert stuck == Looked(kind="a", error=f"it did not end within {seconds:g} s")
        if not good.error:
            break
    released.set()
    assert [seen.found for seen in good.seen] == [FOUND]


def test_declaration_that_takes_the_same_hardware_is_named() -> None:
    assert marks(FOUND, declared("cooler", slot=1)) == ("bench-1/cooler",)
    assert marks(FOUND, declared("cooler", slot=2)) == ()
    assert marks(FOUND, declared("cooler", kind="pump", slot=1)) == ()


def test_simulated_device_has_no_hardware() -> None:
    assert marks(FOUND, declared("cooler", slot=1, simulate=True)) == ()


def test_declaration_by_another_name_of_the_same_file_is_recognised() -> None:
    found = Found(path="/dev/./null", title="Fan")
    assert marks(found, declared("cooler", path="/dev/null")) == ("bench-1/cooler",)
    assert marks(found, declared("cooler", path="/dev/zero")) == ()


def test_declaration_of_other_parts_of_the_same_thing_is_recognised_by_its_name() -> None:
    found = Found(path="/dev/fans", title="Fans", options={"path": "fan-chip", "slot": 1})
    assert marks(found, declared("cooler", path="fan-chip", slot=2)) == ("bench-1/cooler",)
    assert marks(found, declared("cooler", path="other-chip", slot=2)) == ()


@pytest.mark.parametrize(
    ("match", "fits"),
    [
        ({"usb_serial": "A1"}, True),
        ({"usb_id": "2341:0043"}, True),
        ({"usb_id": "2341:0043", "usb_interface": 2}, True),
        ({"usb_serial": "A1", "usb_interface": 1}, False),
        ({"usb_serial": "A2"}, False),
    ],
)
def test_declaration_by_a_usb_match_is_recognised_by_what_it_says(match: dict[str, Any], fits: bool) -> None:
    facts = {"usb_id": "2341:0043", "usb_interface": "2", "usb_serial": "A1"}
    found = Found(path="/dev/fan", title="Fan", facts=facts, options={"match": {"usb_serial": "A1"}})
    assert marks(found, declared("cooler", match=match)) == (("bench-1/cooler",) if fits else ())


def test_two_devices_on_one_piece_of_hardware_are_both_named() -> None:
    benches = [declared("cooler", slot=1), declared("heater", slot=1)]
    assert marks(FOUND, *benches) == ("bench-1/cooler", "bench-1/heater")
