"""The repository names no machine that it was built on, and nothing is loaded or downloaded from a fixed address."""

from __future__ import annotations

import json
import re
from pathlib import Path

# Written in parts, so that this file does not find itself.
INDEX_HOSTS = ["pypi." + "org", "python" + "hosted.org", "registry." + "npmjs", "np" + "mmirror.com"]
SOMEBODYS_HOME = re.compile(r"(?<![\w.])/(?:home|Users)/[a-z_][\w.-]*/|(?<![\w.])/root(?=/\w)")
REMOTE = re.compile(
    r"""(?:src|href)\s*=\s*["']?(?:https?:)?//|(?:from|import)\s*\(?["'](?:https?:)?//|url\(["']?https?:"""
)


def texts(files: list[Path]) -> list[tuple[Path, str]]:
    return [(path, path.read_text("utf-8", errors="replace")) for path in files]


def test_no_file_names_a_package_index(own_files: list[Path]) -> None:
    assert [(path, host) for path, text in texts(own_files) for host in INDEX_HOSTS if host in text] == []


def test_no_file_names_a_folder_of_the_machine_it_was_made_on(own_files: list[Path], root: Path) -> None:
    here = re.compile(re.escape(str(root)) + r"(?![\w-])")
    found = [(path, match.group()) for path, text in texts(own_files) for match in SOMEBODYS_HOME.finditer(text)]
    if len(root.parts) > 2:  # "/app" or "/src" may stand in a text without meaning this folder
        found += [(path, str(root)) for path, text in texts(own_files) if here.search(text)]
    assert found == []


def test_the_lock_names_versions_and_hashes_but_no_addresses(root: Path) -> None:
    packages = json.loads((root / "package-lock.json").read_text())["packages"]
    libraries = {name: entry for name, entry in packages.items() if name}
    assert libraries
    for name, entry in libraries.items():
        assert entry["integrity"].startswith("sha512-"), name
        assert "resolved" not in entry, name


def test_pages_load_nothing_from_other_hosts(own_files: list[Path], root: Path) -> None:
    pages = [path for path in own_files if path.suffix in {".html", ".js", ".css"} and "docs" not in path.parts]
    found = [(path.relative_to(root), match.group()) for path, text in texts(pages) for match in REMOTE.finditer(text)]
    assert found == []
