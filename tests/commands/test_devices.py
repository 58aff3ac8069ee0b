"""`devices`: what it shows, as a table and as JSON."""

from __future__ import annotations

import dataclasses
import json
import re
from datetime import datetime

from rich.console import Console

from labkit.commands.devices import facts, out_of_service, table, troubles
from labkit.store.reservations import BenchView, DeviceView, Duty, Service
from tests.cli.program import Place

HELD = DeviceView(
    name="bench-1/console", hold="reserved", since=1_800_000_000, until=1_800_000_300, session="s", condition="ok",
    condition_since=1_799_999_000, reason="",
)  # fmt: skip
INFO = {"devices": {"console": {"kind": "serial", "title": "Board"}}}
BENCH = BenchView(name="bench-1", features=[], host="pi-3:812:ab", machine="pi-3", info=INFO, devices=[HELD])


def shown(bench: BenchView, width: int = 80) -> str:
    console = Console(width=width)
    with console.capture() as captured:
        console.print(table([bench]))
    return captured.get()


def test_held_device_is_shown_with_its_times_and_its_host() -> None:
    text = shown(BENCH)
    assert re.search(r"bench-1/console +serial +ok +reserved +Jan 15 \S+ +Jan 15 \S+ +pi-3", text)
    assert max(map(len, text.splitlines())) <= 80


def test_bench_without_a_host_is_offline_whatever_its_last_host_said() -> None:
    gone = BenchView(name="bench-1", features=[], host="", machine="pi-3", info=INFO, devices=[HELD])
    known = facts(gone, HELD)
    assert known["condition"] == "offline"
    assert known["reason"] == "its bench has no host: start `labkit loop`"
    assert known["host"] is None
    assert "none (pi-3)" in " ".join(shown(gone, 120).split())


def test_bench_out_of_service_and_whose_fault_it_is_are_shown() -> None:
    service = Service(duty=Duty.MAINTENANCE, since=1_800_000_000, reason="new motor")
    faulty = dataclasses.replace(HELD, hold="none", condition="faulty", reason="red reads back 1", blame="device")
    bench = dataclasses.replace(BENCH, devices=[faulty], service=service)
    assert re.search(r"bench-1/console +serial +faulty +maintenance ", shown(bench))
    assert [name for name, _ in out_of_service([bench])] == ["bench-1"]
    assert re.fullmatch(r"in maintenance \(new motor\) since Jan 15 \S+", next(out_of_service([bench]))[1])
    assert list(troubles([bench])) == [("bench-1/console", "faulty", "red reads back 1", "device")]
    known = facts(bench, faulty)
    assert known["blame"] == "device"
    assert known["service"] == {"state": "maintenance", "since": "2027-01-15T08:00:00.000+00:00", "reason": "new motor"}
    assert (facts(BENCH, HELD)["blame"], facts(BENCH, HELD)["service"]) == (None, None)


def test_names_and_reasons_are_no_markup() -> None:
    odd = dataclasses.replace(HELD, name="bench-1/[red]", hold="none")
    assert "bench-1/[red]" in shown(BenchView(name="b", features=[], host="", machine="", info={}, devices=[odd]))


def test_table_shows_every_device_and_why_one_cannot_be_used(free_lab: Place) -> None:
    done = free_lab.labkit("devices")
    assert done.returncode == 0
    assert re.search(r"bench-1/console +serial +ok +free", done.stdout)
    assert re.search(r"bench-2/meter +serial +offline +free", done.stdout)
    assert "bench-2/meter is offline: Port /dev/nothing-here" in done.stdout
    assert "Times are UTC." in done.stdout


def test_json_is_only_json_whatever_a_driver_of_the_lab_prints(lab: Place) -> None:
    lab.write("drivers/loud.py", "print('hello from loud')\n")
    try:
        done = lab.labkit("devices", "--json")
    finally:
        (lab.folder / "drivers/loud.py").unlink()
    assert json.loads(done.stdout)
    assert "hello from loud" in done.stderr


def test_json_has_an_object_for_each_device(free_lab: Place) -> None:
    free_lab.labkit("fake", "new", "--assigned-time", "60")
    first, second = json.loads(free_lab.labkit("devices", "--json").stdout)
    assert (first["bench"], first["device"], first["name"]) == ("bench-1", "console", "bench-1/console")
    assert (first["kind"], first["condition"], first["hold"]) == ("serial", "ok", "reserved")
    since, until = (datetime.fromisoformat(first[name]) for name in ("since", "until"))
    assert 30 <= (until - since).total_seconds() <= 61  # its time counts from when the RLMS asked
    assert (second["condition"], second["hold"], second["since"], second["until"]) == ("offline", "none", None, None)
    assert "nothing-here" in second["reason"]
    assert (first["blame"], second["blame"], first["service"]) == (None, "device", None)
