"""The sources stay easy to find one's way in: short files, and a name of a class means one thing."""

import ast
from collections import defaultdict

from tests.documents import ROOT

LINES_MAX = 400
FOLDERS = ("livegift", "client_demo", "loadtests", "tests", ".ci")
SUFFIXES = {".py", ".lua", ".js", ".sql"}


def test_no_source_is_too_long_to_read_at_once() -> None:
    paths = (path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.suffix in SUFFIXES)
    lengths = {
        str(path.relative_to(ROOT)): path.read_text().count("\n") for path in paths if "node_modules" not in path.parts
    }
    assert lengths
    assert {path: lines for path, lines in lengths.items() if lines > LINES_MAX} == {}


def test_no_two_classes_of_the_server_have_one_name() -> None:
    """Private ones, such as the `_Sql` beside a `.sql` file, are their module's own."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in sorted((ROOT / "livegift").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                found[node.name].append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert {name: places for name, places in found.items() if len(places) > 1} == {}
