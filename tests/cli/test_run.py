"""`labkit run`: store, loop and web in one terminal."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from labkit.cli.only_run import OnlyRun
from labkit.commands.failure import Failure
from tests.cli.program import APP, BENCH, Place, Running, a_place, request, wait_for

MISNAMED = ("bench-2.tml", "bench-3.TOML", "bench-4.toml.txt", "README.md", ".bench-5.tml", "bench-1.toml~")

Shared = tuple[Place, Running]


@pytest.fixture(scope="module")
def shared() -> Iterator[Shared]:
    """A lab that runs while these tests look at it: one bench works, one can't be opened, one is empty."""
    with a_place() as place:
        place.write("devices/bench-1.toml", BENCH)
        place.write("devices/bench-2.toml", '[console]\ndriver = "serial"\nport = "/dev/nothing-here"\n')
        place.write("devices/bench-6.toml", "")
        for name in MISNAMED:
            place.write(f"devices/{name}", BENCH)
        with place.running("run", "--port", "0") as run:
            run.says("Try it")
            yield place, run


def ready_host(place: Place) -> str | None:
    """The process that has bench-1 ready; None while nobody has."""
    first = json.loads(place.labkit("devices", "--json").stdout)[0]
    return first["host"] if first["condition"] == "ok" else None


def is_anew(place: Place, containing: str, old: set[int]) -> bool:
    """Whether there is such a process, and no old one: a worker of gunicorn goes on for a second after its master."""
    now = set(place.processes(containing))
    return bool(now) and not now & old


def test_lab_without_an_app_serves_its_benches(shared: Shared) -> None:
    lab, run = shared
    assert "labkit 0.1.0  mylab" in run.out
    assert f"RLMS         {run.url}/weblab/sessions/" in run.out
    assert lab.labkit("devices").stdout.split().count("bench-1/console") == 1
    credentials = lab.folder / "instance" / "credentials.json"
    assert str(credentials) in run.out.replace("\n", "")
    assert credentials.stat().st_mode & 0o777 == 0o600


def test_bench_that_cannot_be_opened_is_shown_with_the_reason_and_the_others_work(shared: Shared) -> None:
    _, run = shared
    assert re.search(r"loop   bench-1  console \(simulated\)  ready", run.out)
    assert re.search(r"loop   bench-2  console +offline", run.out)
    assert "bench-2/console is offline: Port /dev/nothing-here" in run.out


def test_likely_mistakes_are_noted_and_the_lab_runs(shared: Shared) -> None:
    _, run = shared
    notes = [line.strip() for line in run.out.splitlines() if "Note:" in line]
    assert notes == [
        f"Note: devices/{name} is not read: the name of a bench's file ends in .toml." for name in MISNAMED[:3]
    ] + ["Note: bench-6 has no devices. Declare them in devices/bench-6.toml."]
    assert re.search(r"loop   bench-6  has no devices +idle", run.out)


def test_address_of_a_lab_without_an_app_is_a_page(shared: Shared) -> None:
    status, text = request(shared[1].url)
    assert status == 200
    assert "This is the lab mylab" in text


@pytest.mark.parametrize("same_port", [True, False])
def test_second_run_of_a_lab_is_refused_and_the_first_one_goes_on(shared: Shared, same_port: bool) -> None:
    lab, run = shared
    done = lab.labkit("run", "--port", run.url.rpartition(":")[2] if same_port else "0")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"Error: This lab already runs here (pid {run.process.pid}, {run.url}). "
        "Use that one (labkit fake new), or stop it first: Ctrl-C where it runs.\n"
    )
    assert lab.labkit("fake", "new").returncode == 0
    assert lab.labkit("release", "bench-1").returncode == 0


def test_mistake_in_a_declaration_stops_no_command_on_the_running_lab(shared: Shared) -> None:
    lab, _ = shared
    lab.write("devices/bench-9.toml", "[console]\ndriver = 'seriel'\n")
    try:
        shown = lab.labkit("devices")
        assert (shown.returncode, "bench-1/console" in shown.stdout) == (0, True)
        assert shown.stderr == (
            "Note: devices/ has 1 mistake (labkit check); what runs goes on with what it has read before.\n"
        )
        assert lab.labkit("bench", "drain", "bench-1").returncode == 0
        assert lab.labkit("release", "bench-1").returncode == 0
        assert lab.labkit("bench", "resume", "bench-1").returncode == 0
    finally:
        (lab.folder / "devices" / "bench-9.toml").unlink()


# -- each with a lab of its own


def test_end_in_order_leaves_no_process_and_no_socket(lab: Place) -> None:
    with lab.running("run", "--port", "0") as run:
        run.says("Try it")
        assert len(lab.processes()) >= 6  # this one, loop, gunicorn and its worker, keeper, store, board
        assert run.end(signal.SIGINT) == 0
        wait_for(lambda: lab.processes() == {}, "the end of all processes")
        assert lab.left_in_temporary() == []
    assert (lab.folder / "instance" / "run.lock").read_text() == ""
    assert [path for path in lab.folder.rglob("*") if path.is_socket()] == []


def test_children_and_store_end_when_the_parent_is_killed(lab: Place) -> None:
    with lab.running("run", "--port", "0") as run:
        run.says("Try it")
        run.end(signal.SIGKILL)
        lab.wait_until_nothing_is_left()


def test_child_that_was_killed_is_started_again(lab: Place) -> None:
    with lab.running("run", "--port", "0") as run:
        run.says("Try it")
        for name, containing in (("loop", " loop "), ("web", "gunicorn")):
            old, host = set(lab.processes(containing)), ready_host(lab)
            os.kill(min(old), signal.SIGKILL)
            run.says(f"{name} was killed by SIGKILL; it is started again in 0.5 s")
            wait_for(lambda old=old, part=containing: is_anew(lab, part, old), f"a new {name}")  # type: ignore[misc]
            gone = host if name == "loop" else None  # the store still shows it for a moment
            wait_for(lambda gone=gone: ready_host(lab) not in (None, gone), "the bench")  # type: ignore[misc]
            assert request(f"{run.url}/weblab/sessions/api")[0] == 200
            assert lab.labkit("fake", "new").returncode == 0
            assert lab.labkit("release", "bench-1").returncode == 0
        assert run.end(signal.SIGINT) == 0
        wait_for(lambda: lab.processes() == {}, "the end of all processes")


def test_simulate_takes_the_twin_of_every_device(place: Place) -> None:
    place.write("devices/bench-1.toml", '[console]\ndriver = "serial"\nport = "/dev/nothing-here"\n')
    with place.running("run", "--simulate", "--port", "0") as run:
        run.says("Try it")
        assert re.search(r"loop   bench-1  console \(simulated\) +ready", run.out), run.out


def test_mistyped_declarations_are_all_shown_and_nothing_is_started(place: Place) -> None:
    place.write(
        "devices/bench-1.toml",
        "[bench]\ntitel = 'x'\n\n[console]\ndriver = 'serial'\nsimulate = true\nboudrate = 9600\n",
    )
    place.write("devices/bench-2.toml", "[console]\ndriver = 'seriel'\n")
    done = place.labkit("run")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == (
        "devices/bench-1.toml:2: [bench] titel: unknown key. Did you mean title?\n"
        "devices/bench-1.toml:7: [console] boudrate: unknown key. Did you mean baudrate?\n"
        "devices/bench-2.toml:2: [console] driver: there is no driver 'seriel'. "
        "Known drivers: camera, gpio, serial. Did you mean serial?\n"
        "\n"
        "The lab was not started: 3 mistakes in its configuration.\n"
    )
    wait_for(lambda: place.processes() == {}, "the end of all processes")
    assert not (place.folder / "instance" / "store").exists()


def test_run_after_one_that_was_killed_is_not_refused(lab: Place) -> None:
    with lab.running("run", "--port", "0") as run:
        run.says("Try it")
        run.end(signal.SIGKILL)
    assert f'"pid": {run.process.pid}' in (lab.folder / "instance" / "run.lock").read_text()
    with lab.running("run", "--port", "0") as again:
        again.says("Try it")
        assert lab.labkit("fake", "new").returncode == 0


def test_second_run_that_comes_before_the_first_one_serves_is_told_to_wait(tmp_path: Path) -> None:
    second = OnlyRun(tmp_path)
    with OnlyRun(tmp_path), pytest.raises(Failure, match="another `labkit run` is starting or ending"):
        second.__enter__()
    with OnlyRun(tmp_path):
        pass


def test_lab_that_listens_everywhere_gives_links_that_another_computer_can_follow(lab: Place) -> None:
    with lab.running("run", "--port", "0", "--host", "0.0.0.0") as run:
        run.says("Try it")
        assert "127.0.0.1" not in run.out
        assert f"\n{run.url}/callback/" in lab.labkit("fake", "new").stdout


def test_server_name_stands_in_what_the_rlms_is_to_call(lab: Place) -> None:
    with lab.running("run", "--port", "0", SERVER_NAME="lab.example.edu", WEBLAB_SCHEME="https") as run:
        run.says("Try it")
        assert "RLMS         https://lab.example.edu/weblab/sessions/\n" in run.out


def test_port_that_is_taken_is_said_in_one_sentence(lab: Place) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        done = lab.labkit("run", "--port", str(port))
    assert done.returncode == 1
    assert done.stderr == (
        f"Error: Port {port} of 127.0.0.1 is in use by another program. Stop that one, or choose another by --port.\n"
    )


def test_labs_own_app_is_served_and_its_settings_count(lab: Place) -> None:
    lab.write("instance/credentials.json", "of a run before there was a lab.py")
    lab.write("lab.py", APP + HELLO)
    with lab.running("run", "--port", "0") as run:
        run.says("Try it")
        assert "Credentials  in lab.py's config\n" in run.out
        assert "labkit 0.1.0  mylab" in run.out
        assert request(f"{run.url}/hello") == (200, "hello from the lab")
        assert lab.labkit("fake", "new").returncode == 0


def test_session_goes_on_over_the_death_of_both_children(lab: Place) -> None:
    with lab.running("run", "--port", "0", WEBLAB_TIMEOUT="90") as run:  # nobody polls while they are away
        run.says("Try it")
        assert lab.labkit("fake", "new").returncode == 0
        killed, host = lab.process(" loop "), ready_host(lab)
        for process in (killed, lab.process("gunicorn")):
            os.kill(process, signal.SIGKILL)
        lab.process(" loop ", but=killed)
        wait_for(lambda: ready_host(lab) not in (None, host), "the bench")
        status = lab.labkit("fake", "status")
        assert status.stdout.startswith("Current user")
        assert "Should finish: -" not in status.stdout
        assert "Deleted" in lab.labkit("fake", "dispose").stdout


def test_verbose_shows_what_the_children_log(lab: Place) -> None:
    with lab.running("run", "--verbose", "--port", "0") as run:
        run.says("device changed device=bench-1/console condition=ok")
        run.says("web worker started")
        assert re.search(r"^loop  \d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ INFO    loop started ", run.err, re.MULTILINE)


def test_folder_that_is_no_lab_is_left_as_it_is(place: Place) -> None:
    done = place.labkit("run")
    assert done.returncode == 2
    assert done.stderr.startswith(
        f"Error: There is no lab in {place.folder}: neither lab.py nor devices/ nor labkit.toml."
    )
    assert list(place.folder.iterdir()) == []


HELLO = """

@app.get("/hello")
def hello():
    return "hello from the lab"
"""
