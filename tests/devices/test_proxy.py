"""`weblab.devices`: names, proxies that keep their fence for ever, acquire and release by hand."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from labkit.context import BoundSession, Purpose, session_bound
from labkit.devices.proxy import Devices
from labkit.errors import BenchUnavailableError, NoContextError, ReservationLostError, UnknownDeviceError
from tests.loop.host_bench import HostBench
from tests.loop.host_bench import lab_of_two as lab_of_two
from tests.toy import Toy


@pytest.fixture
def devices(lab: HostBench) -> Devices:
    return Devices(lab.caller, lab.benches)


def bound(lab: HostBench, bench: str = "bench-1", **facts: Any) -> BoundSession:
    session, fence = lab.session(bench)
    return BoundSession(session_id=session, **{"purpose": Purpose.REQUEST, "fences": {bench: fence}, **facts})


def test_device_is_found_by_its_name_and_by_its_full_name(lab: HostBench, devices: Devices) -> None:
    with session_bound(bound(lab)):
        assert devices["toy"].write("a") == "a"
        assert devices["bench-1/toy"].call("write", "b") == "b"
        assert list(devices) == ["bench-1/toy"]
        assert len(devices) == 1
        assert "toy" in devices
        assert "bench-1/toy" in devices
        assert "bench-2/toy" not in devices
        assert repr(devices["toy"]).startswith("<Device bench-1/toy fence=")
        assert devices["toy"].name == "bench-1/toy"


def test_unknown_device_is_an_error_that_lists_those_there_are(lab: HostBench, devices: Devices) -> None:
    with session_bound(bound(lab)), pytest.raises(UnknownDeviceError, match="It has: bench-1/toy") as error:
        devices["motor"]
    assert isinstance(error.value, KeyError)


def test_name_on_two_benches_has_to_be_said_in_full(lab: HostBench, devices: Devices) -> None:
    session = bound(lab)
    with session_bound(session):
        assert devices.acquire("bench-2") == ["bench-2/toy"]
        with pytest.raises(UnknownDeviceError, match="several devices: say one of bench-1/toy, bench-2/toy"):
            devices["toy"]
        assert devices["bench-2/toy"].write("second") == "second"
    assert lab.worlds["bench-2"].acts[-1] == "second"


def test_without_a_session_there_are_no_devices(devices: Devices) -> None:
    for use in (lambda: devices["toy"], lambda: list(devices), lambda: len(devices), devices.acquire, devices.release):
        with pytest.raises(NoContextError):
            use()


def test_old_proxy_is_refused_whoever_has_the_device_by_then(lab: HostBench, devices: Devices) -> None:
    session = bound(lab)
    with session_bound(session):
        old = devices["toy"]
    lab.release(session.session_id, lab.end(session.session_id))
    lab.wait_ok()
    with pytest.raises(ReservationLostError):
        old.write("nobody has it")
    with session_bound(bound(lab)):
        assert devices["toy"].write("mine") == "mine"
        with pytest.raises(ReservationLostError):
            old.write("late")
    assert not {"late", "nobody has it"} & set(map(str, lab.world.acts))


def test_within_sets_the_limit_of_its_calls(lab: HostBench, devices: Devices) -> None:
    with session_bound(bound(lab)):
        assert devices["toy"].within(60).write("x") == "x"
        assert devices["toy"].within(60).name == "bench-1/toy"


def test_private_names_are_no_commands(lab: HostBench, devices: Devices) -> None:
    with session_bound(bound(lab)), pytest.raises(AttributeError):
        _ = devices["toy"]._secret


def test_acquire_takes_a_free_bench_and_release_gives_it_back(lab: HostBench, devices: Devices) -> None:
    session = bound(lab)
    with session_bound(session):
        assert devices.acquire(features=["uno"]) == ["bench-2/toy"]
        proxy = devices["bench-2/toy"]
        with pytest.raises(BenchUnavailableError, match=r"bench-2 is this session.s own already since"):
            devices.acquire("bench-2")
        devices.release("bench-2")
        assert list(devices) == ["bench-1/toy"]
        with pytest.raises(ReservationLostError):
            proxy.write("late")
    lab.wait_ok("bench-2")


def test_acquire_says_when_there_is_no_such_bench(lab: HostBench, devices: Devices) -> None:
    with session_bound(bound(lab)):
        with pytest.raises(BenchUnavailableError, match="no bench bench-9"):
            devices.acquire("bench-9")
        with pytest.raises(BenchUnavailableError):
            devices.acquire(features=["laser"])


def test_bench_that_is_not_the_sessions_can_not_be_released(lab: HostBench, devices: Devices) -> None:
    with session_bound(bound(lab)), pytest.raises(ReservationLostError, match="bench-2"):
        devices.release("bench-2")


def test_release_of_all(lab: HostBench, devices: Devices) -> None:
    with session_bound(bound(lab)):
        devices.acquire("bench-2")
        devices.release()
        assert list(devices) == []
    for bench in ("bench-1", "bench-2"):
        lab.wait_ok(bench)


def test_ending_session_takes_no_more_benches(lab: HostBench, devices: Devices) -> None:
    with session_bound(bound(lab, purpose=Purpose.ENDING)), pytest.raises(ReservationLostError, match="ending"):
        devices.acquire("bench-2")


def test_session_that_is_over_takes_no_bench(lab: HostBench, devices: Devices) -> None:
    session = bound(lab)
    lab.sessions.exit(session.session_id)
    with session_bound(session), pytest.raises(ReservationLostError):
        devices.acquire("bench-2")
    assert lab.device("bench-2").hold == "none"


def test_typed_proxy_is_the_same_device(lab: HostBench, devices: Devices) -> None:
    with session_bound(bound(lab)):
        toy = devices.typed(Toy, "toy")
        assert repr(toy) == repr(devices["toy"])
        assert toy.write("a") == "a"


def test_typed_proxy_of_another_kind_is_refused(lab: HostBench, devices: Devices) -> None:
    class Motor(Toy):
        kind = "motor"

    with session_bound(bound(lab)), pytest.raises(UnknownDeviceError, match="of the kind 'toy', not 'motor'"):
        devices.typed(Motor, "toy")


@pytest.mark.timeout(300)
def test_type_checker_knows_the_commands_of_a_typed_proxy(tmp_path: Path) -> None:
    lab = tmp_path / "lab.py"
    lab.write_text(
        "from labkit import WebLab\n"
        "from labkit_plugins.serial import SerialPort\n"
        "def program(weblab: WebLab) -> str:\n"
        "    console = weblab.device(SerialPort, 'console')\n"
        "    console.wirte(b'x')\n"
        "    return console.write(b'x')\n"
    )
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", f"--cache-dir={tmp_path}/cache", str(lab)]
    environment = {**os.environ, "MYPYPATH": str(Path(__file__).parents[2])}
    checked = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=280)
    assert 'lab.py:5: error: "SerialPort" has no attribute "wirte"; maybe "write"?' in checked.stdout
    assert 'lab.py:6: error: Incompatible return value type (got "int", expected "str")' in checked.stdout
    assert checked.stdout.count("error:") == 2, checked.stdout
