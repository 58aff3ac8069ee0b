"""The program that reads a source: which pictures it takes, how it ends, what it says."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from labkit_plugins.camera import grabber
from labkit_plugins.camera.grabber import PICTURE, PROBLEM, STARTED, Pace, Plan, blur
from labkit_plugins.camera.source import Ended, Packets, Picture, Started

PLAN = Plan(
    url="testsrc2=size=64x48:rate=100", parent=os.getpid(), container="lavfi", options={}, timeout=None, live=False,
    stamped=False, rate=None, size=None, quality=80,
)  # fmt: skip


def taken(rate: float | None, times: list[float]) -> list[float]:
    pace = Pace(rate)
    return [at for at in times if pace.takes(at)]


def test_without_a_rate_every_picture_is_taken() -> None:
    times = [0.0, 0.001, 0.002, 5.0]
    assert taken(None, times) == times


def test_rate_takes_pictures_evenly() -> None:
    times = [number / 100 for number in range(101)]
    chosen = taken(10, times)
    assert len(chosen) in (10, 11, 12)
    assert all(later - earlier >= 0.07 for earlier, later in itertools.pairwise(chosen))


def test_jitter_costs_no_picture() -> None:
    times = [number / 10 + jitter for number, jitter in enumerate([0, 0.02, -0.02, 0.01, -0.02, 0.02])]
    assert taken(10, times) == times


def test_pause_of_the_source_is_not_made_up_for() -> None:
    chosen = taken(10, [0.0, 5.0, 5.01, 5.02, 5.03, 5.2])
    assert chosen == [0.0, 5.0, 5.2]


def test_source_whose_time_begins_again_goes_on() -> None:
    assert taken(10, [100.0, 0.0, 0.1]) == [100.0, 0.0, 0.1]


def test_quality_is_the_whole_scale_of_ffmpeg() -> None:
    assert (blur(100), blur(1)) == (2, 31)
    assert blur(90) < blur(50)


def test_packets_are_understood_in_any_pieces() -> None:
    whole = b"".join(
        grabber.HEADER.pack(kind, len(data), 7.5) + data
        for kind, data in ((STARTED, b""), (PICTURE, b"abc"), (PROBLEM, "weg: é".encode()))
    )
    packets, said = Packets(), []
    for place in range(len(whole)):
        said += packets.add(whole[place : place + 1])
    assert said == [Started(), Picture(data=b"abc", captured=7.5), Ended(reason="weg: é")]


@pytest.mark.parametrize("noise", [b"\xff" * 20, grabber.HEADER.pack(PICTURE, 2**31, 0.0)])
def test_what_is_no_packet_ends_the_source(noise: bytes) -> None:
    assert list(Packets().add(noise)) == [Ended(reason="what comes can't be read")]


def test_program_ends_with_its_parent() -> None:
    """Also where it hangs: here it is blocked, because nobody reads its output."""
    code = (
        "import json, os, subprocess, sys\n"
        "plan = json.loads(sys.argv[2]) | {'parent': os.getpid()}\n"
        "program = subprocess.Popen([sys.executable, '-P', sys.argv[1]], stdin=subprocess.PIPE, stdout=sys.stdout)\n"
        "program.stdin.write(json.dumps(plan).encode())\n"
        "program.stdin.close()\n"
        "print(program.pid, file=sys.stderr, flush=True)\n"
        "sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", code, grabber.__file__, json.dumps(asdict(PLAN))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stderr is not None
        parent.stderr.readline()
        parent.stdout.read(1)  # it has begun
        parent.kill()
        rest = parent.stdout.read()  # ends where nobody has the pipe any more: the program has ended, too
    assert rest


def test_program_says_nothing_of_labkit_at_its_start() -> None:
    """It is started for each look at a camera, so it loads what it needs, and not the whole of labkit."""
    code = "import runpy, sys; runpy.run_path(sys.argv[1]); print('pydantic' in sys.modules, 'av' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", code, grabber.__file__], capture_output=True, text=True, check=True)
    assert told.stdout == "False False\n"
    assert Path(grabber.__file__).name == "grabber.py"
