"""`demo`: a whole lab that needs no hardware and no questions, and leaves nothing behind."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from labkit.cli.web import host_option, port_option
from labkit.commands.failure import LabCommand

if TYPE_CHECKING:
    from pathlib import Path

    from labkit.cli.screen import Facts

DEMO_PATH = "/labkit/demo"
SWEEP_SECONDS = 10.0


@click.command(cls=LabCommand)
@host_option
@port_option
@click.option(
    "--time", "seconds", default=300.0, show_default=True, type=click.FloatRange(1, 86400),
    help="Length of a student's session in seconds.",
)  # fmt: skip
@click.option("--no-browser", is_flag=True, help="Only print the student's link.")
@click.option("--verbose", "-v", is_flag=True, help="Show the logs of loop and web, not only their warnings.")
def demo(host: str, port: int, seconds: float, no_browser: bool, verbose: bool) -> None:
    """Run a demo lab that needs no hardware.

    Prints a student's link. Its devices are simulated, the rest is real; nothing is left behind at the end."""
    from labkit.cli.credentials import keep_credentials
    from labkit.cli.demo_lab import FOLDER, SECONDS
    from labkit.cli.loading import load_lab
    from labkit.cli.only_run import OnlyRun
    from labkit.cli.run import LabRun
    from labkit.cli.web import listen

    with temporary_folder() as folder, listen(host, port, or_any=True) as listening, OnlyRun(folder) as only:
        os.environ.update({FOLDER: str(folder), SECONDS: str(seconds)})
        taken = listening.getsockname()[1]
        if port and taken != port:
            click.echo(f"Port {port} is in use by another program; the demo takes {taken}.")

        def facts(url: str) -> Facts:
            return [
                ("Student", url + DEMO_PATH),
                ("", f"A session lasts {length(seconds)}; a second browser has to wait."),
                ("Terminal", f"export {FOLDER}={folder}"),
                ("", "labkit devices"),
            ]

        def when_ready(url: str) -> None:
            if not no_browser:
                from labkit.commands.browser import open_browser

                open_browser(url + DEMO_PATH)

        title = "demo lab, no hardware needed"
        lab = load_lab(os.environ)
        keep_credentials(lab.app)
        LabRun(lab, listening, only, title=title, verbose=verbose, facts=facts, when_ready=when_ready).run()


def length(seconds: float) -> str:
    """A length of time as people say it."""
    minutes = seconds / 60
    return f"{minutes:g} minutes" if seconds >= 120 and minutes == int(minutes) else f"{seconds:g} seconds"


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder that is removed afterwards by a process of its own, also where this one is killed."""
    import subprocess
    import sys
    import tempfile
    from pathlib import Path

    from labkit.cli import sweeper

    folder = tempfile.mkdtemp(prefix="labkit-demo-")
    sweeping = subprocess.Popen(
        [sys.executable, "-I", "-S", sweeper.__file__, folder], stdin=subprocess.PIPE, start_new_session=True
    )
    try:
        yield Path(folder)
    finally:
        if sweeping.stdin is not None:
            sweeping.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            sweeping.wait(SWEEP_SECONDS)
