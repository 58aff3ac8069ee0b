"""Credentials of a lab that nobody gave any: random ones, made once and kept for all of its processes.

Only who serves the lab writes them down (`labkit run`, `labkit web`); a command that just looks leaves no file behind.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from labkit.errors import InvalidConfigError

FILE = "credentials.json"
NAMES = ("WEBLAB_USERNAME", "WEBLAB_PASSWORD", "SECRET_KEY")
EXTENSION = "labkit_credentials"
"""Key in a generic app's `extensions`: its `Credentials`."""


class Credentials:
    """User name, password and secret key of one generic lab, as far as nobody gave them.

    values: those of the file in the instance folder; new ones, that nobody else knows before `keep`, where there is
    none. Errors: `InvalidConfigError` where the file can't be used.
    """

    def __init__(self, instance: Path, given: Mapping[str, Any]):
        self._path = instance / FILE
        self._needed = [name for name in NAMES if name not in given]
        found = (read_credentials(self._path) or new_credentials()) if self._needed else {}
        self.values: Mapping[str, str] = {name: found[name] for name in self._needed}
        self._found = found

    @property
    def place(self) -> str:
        """Where a person finds what the RLMS must send."""
        if {"WEBLAB_USERNAME", "WEBLAB_PASSWORD"} & set(self._needed):
            return str(self._path)
        return "in labkit.toml or the environment"

    def keep(self) -> None:
        """Write new ones down, readable by their owner only, for the processes to come. Errors: `InvalidConfigError`.

        Of two processes that come at once the first one's stand.
        """
        if not self._needed or self._path.exists():
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_credentials(self._path, self._found)
        except OSError as error:
            raise not_writable(self._path.parent, error) from error


def read_credentials(path: Path) -> dict[str, str] | None:
    """Read the file; None where there is none. Errors: `InvalidConfigError`."""
    try:
        found = json.loads(path.read_text("utf-8"))
        return {name: str(found[name]) for name in NAMES}
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InvalidConfigError(f"The lab's credentials in {path} can't be used: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidConfigError(
            f"The lab's credentials in {path} can't be read. Remove the file: new ones are made."
        ) from error


def new_credentials() -> dict[str, str]:
    return {
        "WEBLAB_USERNAME": "rlms",
        "WEBLAB_PASSWORD": secrets.token_urlsafe(24),
        "SECRET_KEY": secrets.token_urlsafe(32),
    }


def write_credentials(path: Path, made: Mapping[str, str]) -> None:
    """Write credentials under the name all at once; where another process was first, its ones stand."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        json.dump(made, file, indent=2)
    try:
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()


def keep_credentials(app: Any) -> None:
    """Write down what a generic app made for itself; any other app has its own. Errors: `InvalidConfigError`."""
    made = app.extensions.get(EXTENSION)
    if made is not None:
        made.keep()


def not_writable(folder: Path, error: OSError) -> InvalidConfigError:
    """What to say where the instance folder can't be made or written."""
    there = next((one for one in (folder, *folder.parents) if one.exists()), folder)
    try:
        user = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        user = f"user {os.geteuid()}"
    return InvalidConfigError(
        f"The folder {there} is not writable for {user} ({error.strerror}). A lab keeps its store and its credentials "
        f"in {folder}. Make it writable, or name another folder by LABKIT_INSTANCE."
    )
