"""A whole lab in real processes: store, boards behind real ptys, web and loop. For flow tests; `people` use it.

Every flow runs in both layouts: `services` (a web process that only serves, and a loop) and `threads` (one web process
that does everything).
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from labkit.store.connection import Store
from labkit.store.processes import Processes
from labkit.store.reservations import BenchView, Reservations
from labkit.store.sessions import Sessions
from labkit.testing.board import BoardProcess
from labkit.testing.store import StoreServer
from tests import prepared
from tests.flows.people import Rlms, eventually
from tests.prepared import ROOT, Prepared

LAYOUTS = ("services", "threads")
APP = "tests.flows.lab_app:app"
GUNICORN = ("-k", "gthread", "--threads", "60", "--no-control-socket", "--graceful-timeout", "1")
ROOMY = {"WEBLAB_TIMEOUT": 600, "LABKIT_CALL_TIMEOUT": 30, "LABKIT_RELEASE_TIMEOUT": 30}
"""Settings by which nothing is over because the machine is busy; a test that waits for such an end has its own."""
ROOMY_ANSWER = 20.0
"""Seconds that a board has to answer what makes it safe: it is a process, which waits for its turn as others do."""


class FlowLab:
    """A lab in a folder: boards, declarations, and the processes that a test starts and kills."""

    def __init__(
        self, folder: Path, store: StoreServer, port: int, *, benches: int = 1, safe_seconds: float = 2.0,
        settings: dict[str, Any] | None = None,
    ):  # fmt: skip
        """safe_seconds: how long a board may take to answer what makes it safe."""
        self.folder = folder
        self.store_server = store
        self.port = port
        self.settings = {"WEBLAB_REDIS_URL": store.url, "WEBLAB_TIMEOUT": 60, **(settings or {})}
        self.boards: list[BoardProcess] = []
        self.processes: list[Prepared] = []
        (folder / "devices").mkdir()
        for number in range(1, benches + 1):
            self._make_bench(f"bench-{number}", safe_seconds)

    def _make_bench(self, name: str, safe_seconds: float) -> None:
        path = self.folder / f"tty-{name}"
        board = BoardProcess.start(path, record=self.folder / f"record-{name}", control=self.folder / f"control-{name}")
        self.boards.append(board)
        declaration = (
            f'[console]\ndriver = "serial"\nport = "{path}"\n'
            f'safe = {{ send = "\\u0003halt\\r", expect = "off", timeout = {safe_seconds:g} }}\n'
        )
        (self.folder / "devices" / f"{name}.toml").write_text(declaration)

    # -- processes

    def start_process(self, module: str, arguments: Sequence[str], *, name: str = "", **settings: Any) -> Prepared:
        """Start a process of the lab, `python -m module ...`.

        name: it pauses at steps for which there is a file `pause-<step>-<name>`."""
        environment = {
            **os.environ, "FLOW_FOLDER": str(self.folder), "FLOW_SETTINGS": json.dumps({**self.settings, **settings}),
            "PYTHONPATH": str(ROOT), **({"FLOW_NAME": name} if name else {}),
        }  # fmt: skip
        log = open(self.folder / f"process-{len(self.processes)}.log", "wb")  # noqa: SIM115
        with log:
            process = prepared.start(
                module, arguments, folder=self.folder, environment=environment, out=log.fileno(), err=log.fileno()
            )
        self.processes.append(process)
        return process

    def loop(self, *, app: str = APP, name: str = "", **settings: Any) -> Prepared:
        """Start `labkit loop`."""
        return self.start_process("labkit.cli", ["--app", app, "loop"], name=name, **settings)

    def web(
        self, *, app: str = APP, port: int | None = None, name: str = "", more: Sequence[str] = (),
        awaited: bool = True, **settings: Any,
    ) -> Prepared:  # fmt: skip
        """Start a web process that only serves.

        more: options of gunicorn; of one that is given twice the last counts. awaited: return when it answers."""
        number = port or self.port
        how = [*GUNICORN, "-b", f"127.0.0.1:{number}", *more, app]
        process = self.start_process("gunicorn", how, name=name, **{"WEBLAB_NO_THREAD": True, **settings})
        if awaited:
            self._wait_for_web(number, process)
        return process

    def threaded_web(self, *, app: str = APP, port: int | None = None, **settings: Any) -> Prepared:
        """Start a web process that does everything in threads of its own (where its settings let it)."""
        number = port or self.port
        process = self.start_process("flask", ["--app", app, "run", "--port", str(number)], **settings)
        self._wait_for_web(number, process)
        return process

    def _wait_for_web(self, port: int, process: Prepared) -> None:
        def answers() -> bool:
            assert process.poll() is None, self.logs()
            with contextlib.suppress(OSError):
                return Rlms(port).ask("GET", "/weblab/sessions/api")[0] == 200
            return False

        eventually(answers, 60, "the web process")

    def start(self, layout: str) -> FlowLab:
        """Start everything in one layout, and wait until all benches are free."""
        if layout == "services":
            self.loop()
            self.web()
        else:
            self.threaded_web()
        self.wait_free()
        return self

    def kill(self, process: Prepared, number: int = signal.SIGKILL) -> None:
        process.send_signal(number)
        process.wait(60)

    def labkit(self, *arguments: str) -> str:
        """Run a command of `labkit` to its end, in the lab's folder; returns what it printed."""
        environment = {
            **os.environ, "FLOW_FOLDER": str(self.folder), "FLOW_SETTINGS": json.dumps(self.settings),
            "PYTHONPATH": str(ROOT), "COLUMNS": "200", "TZ": "UTC",
        }  # fmt: skip
        command = ["--app", APP, *arguments]
        done = prepared.run("labkit.cli", command, folder=self.folder, environment=environment, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    # -- what a test looks at

    @property
    def store(self) -> Store:
        return Store(self.store_server.url, "lab")

    @property
    def sessions(self) -> Sessions:
        return Sessions(self.store)

    @property
    def process_table(self) -> Processes:
        return Processes(self.store)

    @property
    def rlms(self) -> Rlms:
        return Rlms(self.port)

    @property
    def reservations(self) -> Reservations:
        return Reservations(self.store)

    def benches(self) -> list[BenchView]:
        return self.reservations.benches()

    def is_free(self, bench: str) -> bool:
        return any(
            view.name == bench and view.host and all(d.hold == "none" and d.condition == "ok" for d in view.devices)
            for view in self.benches()
        )

    def wait_free(self, *benches: str, seconds: float = 40.0) -> None:
        names = benches or tuple(path.stem for path in (self.folder / "devices").glob("*.toml"))
        eventually(lambda: all(self.is_free(name) for name in names), seconds, f"free benches {names}")

    def wait_state(self, session_id: str, state: str, seconds: float = 40.0) -> None:
        eventually(lambda: self.sessions.touch(session_id, poll=False).state == state, seconds, f"session {state}")

    def acts(self, what: str = "") -> list[dict[str, Any]]:
        """What the lab's own functions did, in order."""
        path = self.folder / "acts.log"
        lines = path.read_bytes().splitlines() if path.exists() else []
        return [act for act in map(json.loads, lines) if what in ("", act["what"])]

    def tell(self, name: str) -> None:
        """Let a hook that waits for this file go on."""
        (self.folder / name).touch()

    def logs(self) -> str:
        logs = sorted(self.folder.glob("process-*.log"))
        return "\n".join(f"== {path.name}\n{path.read_text()[-6000:]}" for path in logs)

    def close(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.terminate()
        for process in self.processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(15)
            if process.poll() is None:
                process.kill()
                process.wait(10)
        for board in self.boards:
            board.stop()


@contextlib.contextmanager
def flow_lab(folder: Path, port: int, **options: Any) -> Iterator[FlowLab]:
    """A roomy lab with a store of its own. Prints its processes' logs at the end, which pytest shows with a failure."""
    options = {"safe_seconds": ROOMY_ANSWER, **options, "settings": {**ROOMY, **(options.get("settings") or {})}}
    with StoreServer(append_only=options.pop("append_only", False)) as server:
        lab = FlowLab(folder, server, port, **options)
        try:
            yield lab
        finally:
            lab.close()
            print(lab.logs())
