"""What style.md asks of each file, where a machine can tell."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.rules.conftest import is_library

LONGEST_FILE = 400
LONGEST_FUNCTION = 40
FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "common", "manager", "misc"}
WAITS_AND_WALL_TIMES = {"time.sleep", "datetime.now", "datetime.utcnow", "datetime.datetime.now", "datetime.today"}
STORE_VERBS = {"eval", "evalsha", "register_script", "script_load", "hset", "hget", "hgetall", "xadd", "zadd", "lpush"}

Found = Iterator[tuple[int, str]]


def complaints(modules: list[Path], root: Path, find: Callable[[ast.Module], Found]) -> list[str]:
    """What `find` says about each module, as `file:line: text`."""
    return [
        f"{path.relative_to(root)}:{line}: {text}"
        for path in modules
        for line, text in find(ast.parse(path.read_text("utf-8"), str(path)))
    ]


def test_no_file_is_longer_than_400_lines(own_files: list[Path], root: Path) -> None:
    code = {".py", ".js", ".lua", ".css", ".html"}
    library = [path for path in own_files if path.suffix in code and is_library(path.relative_to(root))]
    lengths = {path: len(path.read_text("utf-8").splitlines()) for path in library}
    assert [f"{path.relative_to(root)}: {n} lines" for path, n in lengths.items() if n > LONGEST_FILE] == []


def test_no_function_is_longer_than_40_lines(modules: list[Path], root: Path) -> None:
    def long_functions(tree: ast.Module) -> Found:
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > LONGEST_FUNCTION:
                    yield node.lineno, f"{node.name} has {lines} lines"

    assert complaints(modules, root, long_functions) == []


def test_no_module_has_a_name_that_says_nothing(modules: list[Path], root: Path) -> None:
    named = [path for path in modules if {*path.with_suffix("").relative_to(root).parts} & FORBIDDEN_NAMES]
    assert named == []


def test_every_module_says_what_lives_in_it(modules: list[Path], root: Path) -> None:
    def missing(tree: ast.Module) -> Found:
        if tree.body and not ast.get_docstring(tree):
            yield 1, "no docstring at the top"

    assert complaints(modules, root, missing) == []


def test_library_code_never_sleeps_and_asks_one_clock(modules: list[Path], root: Path) -> None:
    def waits(tree: ast.Module) -> Found:
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and ast.unparse(node) in WAITS_AND_WALL_TIMES:
                yield node.lineno, ast.unparse(node)
            if isinstance(node, ast.ImportFrom) and node.module == "time" and "sleep" in {a.name for a in node.names}:
                yield node.lineno, "from time import sleep"

    assert complaints(modules, root, waits) == []


def test_no_magic_that_style_forbids(modules: list[Path], root: Path) -> None:
    def magic(tree: ast.Module) -> Found:
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and node.name == "__del__":
                yield node.lineno, "__del__"
            if isinstance(node, ast.ClassDef) and any(keyword.arg == "metaclass" for keyword in node.keywords):
                yield node.lineno, f"metaclass of {node.name}"
            if isinstance(node, ast.Global):
                yield node.lineno, f"global {', '.join(node.names)}"

    assert complaints(modules, root, magic) == []


def test_only_the_store_package_knows_keys_and_scripts(modules: list[Path], root: Path) -> None:
    def store_talk(tree: ast.Module) -> Found:
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in STORE_VERBS:
                yield node.lineno, f".{node.func.attr}("
            if isinstance(node, ast.ImportFrom) and node.module == "labkit.store.keys":
                yield node.lineno, "from labkit.store.keys import ..."

    outside = [path for path in modules if "store" not in path.relative_to(root).parts]
    assert complaints(outside, root, store_talk) == []


def test_every_script_of_the_store_says_what_it_does(root: Path) -> None:
    scripts = sorted((root / "labkit" / "store" / "lua").glob("*.lua"))
    assert scripts
    assert [path.name for path in scripts if not re.match(r"-- \S", path.read_text("utf-8"))] == []
