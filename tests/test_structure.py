"""The sources stay easy to find one's way in: a name of a class means one thing."""

import ast
from collections import defaultdict

from tests.documents import ROOT


def test_no_two_classes_of_the_server_have_one_name() -> None:
    """Private ones, such as the `_Sql` beside a `.sql` file, are their module's own."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in sorted((ROOT / "livegift").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                found[node.name].append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert {name: places for name, places in found.items() if len(places) > 1} == {}
