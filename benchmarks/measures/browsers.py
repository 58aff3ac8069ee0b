"""Browsers: many pages on one web process, one that is full, and two behind a proxy. Run by `benchmarks`."""

from __future__ import annotations

import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.programs import PEERS, Program
from benchmarks.report import Report, quantile
from benchmarks.scale import Scale
from benchmarks.watched import WatchedLab, ask, seconds_of, watched_lab

NAME = "browsers"
PAGES = 200
EVERY = 1.0
"""Seconds between two questions of a page; a page of labkit asks each five."""
LOOKS = 0.1
"""Seconds between two requests for a plain page."""


def measure(report: Report, scale: Scale) -> None:
    """Each page has a session of its own."""
    count = scale.times(PAGES, 10)
    with watched_lab() as lab:
        web = lab.web()
        cookies = [lab.enter() for _ in range(count)]
        _one(report, scale, lab, cookies, web)
        _full(report, scale)
        cookies += [lab.enter() for _ in range(count)]
        lab.web()
        _two(report, scale, lab, cookies)


def _one(report: Report, scale: Scale, lab: WatchedLab, cookies: list[str], web: int) -> None:
    with _opened(lab, lab.ports, cookies) as pages:
        who = f"{len(cookies)} pages, one web process"
        seconds = scale.seconds(15, 2)
        used, began = seconds_of(web), time.monotonic()
        looks = _echo(report, pages, seconds, lab.ports[0], cookies[0], who)
        share = (seconds_of(web) - used) / (time.monotonic() - began)
        report.times(NAME, "plain page meanwhile", looks, note=f"web process {share:.0%} of a core")
        report.at_most(NAME, "plain page meanwhile: p99", quantile(looks, 0.99) * 1e3, 100, "ms")


def _two(report: Report, scale: Scale, lab: WatchedLab, cookies: list[str]) -> None:
    with _sticky(lab.ports) as port, _opened(lab, [port], cookies) as pages:
        who = f"{len(cookies)} pages, two web processes"
        looks = _echo(report, pages, scale.seconds(15, 2), port, cookies[0], who)
        report.times(NAME, "plain page meanwhile, by the proxy", looks)


def _echo(report: Report, pages: Program, seconds: float, port: int, cookie: str, who: str) -> list[float]:
    """Have all pages ask, while somebody looks at plain pages. Returns what those took."""
    looks: list[float] = []
    done = threading.Event()

    def look() -> None:
        while not done.wait(LOOKS):
            began = time.monotonic()
            status, text, _ = ask(port, "GET", "/labkit/", headers={"Cookie": cookie})
            if status != 200:
                raise RuntimeError(f"The page was not served: {status} {text[:200]}")
            looks.append(time.monotonic() - began)

    looking = threading.Thread(target=look)
    looking.start()
    try:
        echoes = pages.ask("echo", seconds=seconds, every=EVERY)
    finally:
        done.set()
        looking.join()
    took = echoes["seconds"]
    note = f"{len(took) / seconds:.0f} a second; {echoes['errors']} refused, {echoes['closed']} broken off"
    report.times(NAME, f"echo, {who}", took, note=note)
    report.at_most(NAME, f"echo, {who}: p99", quantile(took, 0.99) * 1e3, 50, "ms")
    lost = echoes["asked"] - len(took) + echoes["errors"] + echoes["closed"]
    report.at_most(NAME, f"echoes that did not come, {who}", lost, 0, "echoes")
    return looks


def _full(report: Report, scale: Scale) -> None:
    """More pages than a web process takes: each one is let in or told that the lab is full, at once."""
    threads = scale.times(64, 16)
    with watched_lab() as lab, Program(sys.executable, "pages.py") as pages:
        lab.web("--threads", str(threads))
        cookie, another = lab.enter(), lab.enter()
        began = time.monotonic()
        states = pages.ask("open", ports=lab.ports, cookies=[cookie] * 2 * threads, within=20)
        took = time.monotonic() - began
        hanging = states["states"].count("")
        let_in, told = states["states"].count("open"), states["states"].count("refused")
        times, other = [], 0
        for _ in range(20):
            began = time.monotonic()
            other += not _says_full(lab.ports[0], another)
            times.append(time.monotonic() - began)
    note = f"{threads} threads: {let_in} pages let in, {told} told that the lab is full, in {took:.1f} s"
    report.times(NAME, "plain page of a lab that is full", times, note=note)
    report.at_most(NAME, "pages that were left hanging", hanging, 0, "pages")
    report.at_most(NAME, "answers that are no readable page with 503 and Retry-After", other, 0, "answers")
    report.at_most(NAME, "plain page of a lab that is full", statistics.median(times) * 1e3, 100, "ms")


def _says_full(port: int, cookie: str) -> bool:
    """Whether somebody who asks for the session's page reads that the lab is full, and when to ask again."""
    try:
        status, text, headers = ask(port, "GET", "/labkit/", headers={"Cookie": cookie}, seconds=5)
    except TimeoutError:
        return False
    return status == 503 and "Retry-After" in headers and "The lab is full" in text


@contextmanager
def _opened(lab: WatchedLab, ports: list[int], cookies: list[str]) -> Iterator[Program]:
    with Program(sys.executable, "pages.py") as pages:
        opened = pages.ask("open", ports=ports, cookies=cookies, within=30)
        if opened["states"] != ["open"] * len(cookies):
            states = {state: opened["states"].count(state) for state in set(opened["states"])}
            raise RuntimeError(f"Not all pages were let in: {states} {opened['why'][:3]}\n{lab.said()}")
        pages.ask("echo", seconds=1, every=EVERY)
        yield pages


@contextmanager
def _sticky(ports: list[int]) -> Iterator[int]:
    command = [sys.executable, str(PEERS / "sticky.py"), "0", *map(str, ports)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as proxy:
        try:
            yield int(proxy.stdout.readline() if proxy.stdout else 0)
        finally:
            proxy.terminate()
