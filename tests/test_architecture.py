"""The house rules that a machine can hold: who imports whom, and how long a file may be."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("pen", "penlog", "penlogd", "penstats")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
LINES_MAX = 400

# Who may not import what, by prefixes of module names.
FORBIDDEN = [
    ("pen.core", ("pen.net", "pen.control", "pen.stats", "pen.logs", "pen.balancer", "pen.cli",
                  "pen.daemon", "penlog", "socketserver", "select")),
    ("pen.net", ("pen.control", "pen.stats", "pen.logs", "pen.balancer", "pen.cli", "penlog")),
    ("pen.stats", ("pen.net", "pen.control", "pen.logs", "pen.balancer", "pen.cli")),
    ("pen.logs", ("pen.net", "pen.control", "pen.stats", "pen.balancer", "pen.cli")),
    ("pen.control", ("pen.logs", "pen.balancer", "pen.cli")),
    ("pen.balancer", ("pen.cli",)),
    ("penlog", ("pen.net", "pen.control", "penlogd", "penstats")),
    ("penlogd", ("pen.net", "pen.control", "pen.balancer", "penstats")),
    ("penstats", ("pen.", "penlog", "penlogd", "click")),
]  # fmt: skip


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def within(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(prefix if prefix.endswith(".") else f"{prefix}.")


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_imports_point_one_way(path):
    name = module_name(path)
    for package, forbidden in FORBIDDEN:
        if within(name, package):
            found = [each for each in imports(path) for bad in forbidden if within(each, bad)]
            assert not found, f"{name} must not import {found}"


def test_records_import_no_sibling():
    found = [name for name in imports(ROOT / "penlog/records.py") if within(name, "penlog")]
    assert not found


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_files_are_short(path):
    assert len(path.read_text().splitlines()) <= LINES_MAX


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_modules_hold_no_mutable_state(path):
    """A list, dict or set at module level is a constant: in capitals, and never `global`."""
    tree = ast.parse(path.read_text())
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Global)]
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(
            node.value, ast.List | ast.Dict | ast.Set | ast.ListComp | ast.DictComp | ast.SetComp
        ):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = [target.id for target in targets if isinstance(target, ast.Name)]
            assert all(name.strip("_").isupper() or name == "__all__" for name in names), names
