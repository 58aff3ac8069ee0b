"""Credentials of a lab that nobody gave any: random ones, made once and kept for all of its processes."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from pathlib import Path

from labkit.errors import InvalidConfigError

FILE = "credentials.json"
NAMES = ("WEBLAB_USERNAME", "WEBLAB_PASSWORD", "SECRET_KEY")


def kept_credentials(instance: Path) -> dict[str, str]:
    """User name, password and secret key of the instance folder; made with the first use, readable by its owner only.

    Two processes that come at once get the same ones. Errors: `InvalidConfigError` where the file can't be used.
    """
    path = instance / FILE
    try:
        if not path.exists():
            instance.mkdir(parents=True, exist_ok=True)
            _make(path)
        found = json.loads(path.read_text("utf-8"))
        return {name: str(found[name]) for name in NAMES}
    except OSError as error:
        raise InvalidConfigError(f"The lab's credentials in {path} can't be used: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidConfigError(
            f"The lab's credentials in {path} can't be read. Remove the file: new ones are made."
        ) from error


def _make(path: Path) -> None:
    """Write new credentials under the name all at once; where another process was first, its ones stand."""
    made = {
        "WEBLAB_USERNAME": "rlms",
        "WEBLAB_PASSWORD": secrets.token_urlsafe(24),
        "SECRET_KEY": secrets.token_urlsafe(32),
    }
    draft = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        json.dump(made, file, indent=2)
    try:
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()
