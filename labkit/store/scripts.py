"""Loads the Lua scripts: the keys' names, the prelude, the libraries that a script asks for, the script.

Used by `store/` only. A script asks for a library by a line `--@include benches`.
"""

from __future__ import annotations

import hashlib
import re
from functools import cache
from importlib import resources

from labkit.store.keys import lua_names

_INCLUDE = re.compile(r"^--@include (\w+)$", re.MULTILINE)


@cache
def script_source(name: str) -> str:
    """The whole text of the script `lua/<name>.lua`, with what it includes."""
    body = _read(name)
    libraries = [_read(library) for library in _INCLUDE.findall(body)]
    text = "\n".join([_read("prelude"), *libraries, body])
    return f"{lua_names(set(re.findall(r'[a-z_]+', text)))}\n{text}"


@cache
def script_hash(name: str) -> str:
    """The SHA-1 by which the store knows the script."""
    return hashlib.sha1(script_source(name).encode(), usedforsecurity=False).hexdigest()


def _read(name: str) -> str:
    return resources.files("labkit.store").joinpath("lua", f"{name}.lua").read_text("utf-8")
