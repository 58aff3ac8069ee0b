"""`run`: store, loop and web in one terminal. The processes share nothing but the store.

The parent checks the lab, opens the store and the listening socket, and has loop and web as children: it starts them
again when they end by themselves, and ends them in order. It neither serves nor touches hardware.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from labkit.cli.web import host_option, port_option
from labkit.commands.failure import LabCommand
from labkit.commands.simulation import simulate_option
from labkit.commands.source import pass_lab

if TYPE_CHECKING:
    import socket
    import threading

    from rich.console import Console

    from labkit.cli.children import Child
    from labkit.cli.only_run import OnlyRun
    from labkit.cli.readiness import Readiness
    from labkit.cli.screen import Facts
    from labkit.lab import Lab

STOP_SECONDS = 25.0
"""Longest orderly end of all children together; then they are killed."""
KEEPER_SECONDS = 3.0


@click.command(cls=LabCommand)
@host_option
@port_option
@simulate_option
@click.option("--verbose", "-v", is_flag=True, help="Show the logs of loop and web, not only their warnings.")
@pass_lab
def run(lab: Lab, host: str, port: int, verbose: bool) -> None:
    """Run the whole lab here: store, loop and web.

    Without an app of one's own it serves a ready page for the benches declared in devices/. For development, demos and
    single small labs; larger ones have `labkit loop` and `labkit web` as services. A lab runs once at a time.
    """
    from labkit.cli.credentials import keep_credentials
    from labkit.cli.only_run import OnlyRun
    from labkit.cli.web import listen

    with OnlyRun(lab.instance) as only, listen(host, port) as listening:
        keep_credentials(lab.app)
        LabRun(lab, listening, only, title=lab.title, verbose=verbose).run()


class LabRun:
    """One run of a whole lab, from the header on the screen to the end of the store.

    title: shown in the header. facts: what to show below the summary, given the URL. when_ready: called with the URL.
    """

    def __init__(
        self, lab: Lab, listening: socket.socket, only: OnlyRun, *, title: str, verbose: bool,
        facts: Callable[[str], Facts] | None = None, when_ready: Callable[[str], object] = lambda url: None,
    ):  # fmt: skip
        from rich.console import Console

        from labkit.cli.children import Child, labkit_command
        from labkit.cli.news import News
        from labkit.cli.web import gunicorn, shown_url, url_of
        from labkit.commands.logs import QUIET
        from labkit.threads import LabThread

        quiet = not verbose
        self._lab = lab
        self._only = only
        self._title = title
        self._facts = facts or (lambda url: rlms_facts(lab, url))
        self._when_ready = when_ready
        self._url = url_of(listening)
        self._shown_url = shown_url(listening)
        self._console: Console = Console(highlight=False)
        self._news = News()
        self._seen: Readiness | None = None
        self._looking = LabThread("readiness", self._see_readiness)
        loop = labkit_command("loop", "--no-reload", *(["--quiet"] if quiet else []))
        web = gunicorn(listening.fileno(), quiet=quiet)
        self._loop: Child = Child("loop", loop)
        self._web: Child = Child("web", web, environment={QUIET: "1"} if quiet else {}, inherits=listening)

    def run(self) -> None:
        """Start everything, look after it until Ctrl-C or SIGTERM, end everything. Errors: `StoreUnavailableError`."""
        from labkit.cli.screen import show_header
        from labkit.commands.logs import set_up_logs

        set_up_logs("run")
        with contextlib.suppress(OSError):  # nobody looks: the lab runs all the same
            show_header(self._console, self._title)
        try:
            _ = self._lab.store
            with self._news.heard():
                try:
                    self._start()
                    self._look_after()
                finally:
                    self._stop()
        finally:
            self._lab.close()  # also where Ctrl-C came before it was listened for: others wait for the store's end

    def _start(self) -> None:
        for child in (self._loop, self._web):
            child.start()
        self._only.tell(url=self._url, shown=self._shown_url)
        self._looking.start()

    def _see_readiness(self, stopping: threading.Event) -> None:
        from labkit.cli.readiness import look_until_ready

        self._seen = look_until_ready(self._lab, self._url, stopping)
        self._news.wake()

    def _look_after(self) -> None:
        shown = False
        while not self._news.wait(min(self._loop.pause_left, self._web.pause_left)):
            for child in (self._loop, self._web):
                child.look_after()
            if self._seen is not None and not shown:
                shown = True
                self._show(self._seen)

    def _show(self, seen: Readiness) -> None:
        from labkit.cli.notices import notices
        from labkit.cli.screen import show_facts, show_notices, show_parts

        with contextlib.suppress(OSError):
            show_parts(self._console, self._lab, self._shown_url, seen)
            show_notices(self._console, notices(self._lab))
            show_facts(self._console, self._facts(self._shown_url))
        self._when_ready(self._url)

    # -- the end

    def _stop(self) -> None:
        """Web first, so that nobody comes in; then the loop, which makes every device safe; then the store."""
        from labkit.clock import Deadline

        self._say("Ending: devices are made safe and closed ...")
        self._looking.stop()
        self._only.withdraw()
        deadline = Deadline(STOP_SECONDS)
        for child in (self._web, self._loop):
            child.end()
            hurry = False
            while child.running and not deadline.over and not hurry:
                hurry = self._news.wait(deadline.left())  # a second Ctrl-C
            child.kill()
        if self._looking.ident is not None:
            self._looking.join(1.0)  # else it could open the store again
        self._lab.close()
        wait_for_keeper(self._lab)
        self._say("Ended.")

    def _say(self, text: str) -> None:
        with contextlib.suppress(OSError):
            self._console.print(f"[dim]{text}[/]")


def rlms_facts(lab: Lab, url: str) -> Facts:
    """What the author of a lab wants to know next."""
    from labkit.commands.address import server_name

    address = f"{server_name(lab) or url}/{lab.settings.base_url.strip('/')}".rstrip("/") + "/weblab/sessions/"
    return [("RLMS", address), ("Credentials", credentials_place(lab)), ("Try it", "labkit fake new")]


def credentials_place(lab: Lab) -> str:
    """Where a person finds the user name and the password that the RLMS must send."""
    from labkit.cli.credentials import EXTENSION

    made = lab.app.extensions.get(EXTENSION)
    if made is not None:
        return str(made.place)
    name = os.environ.get("LABKIT_APP")
    return f"in the config of {name}" if name else "in lab.py's config"


def wait_for_keeper(lab: Lab) -> None:
    """Wait until the embedded store has gone, if we were its last process; else for a moment only."""
    from labkit.cli.sweeper import wait_until_store_ended
    from labkit.threads import LabThread

    if not lab.settings.redis_url:
        waiting = LabThread("store-end", lambda _: wait_until_store_ended(str(lab.instance)))
        waiting.start()
        waiting.join(KEEPER_SECONDS)
