"""The error table: each code in it is raised somewhere, and each that is raised is in it."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import livegift
from livegift.contract.errors import ERRORS

PACKAGE = Path(livegift.__file__).parent
TABLE = PACKAGE / "contract" / "errors.py"
REFUSED_IN_LUA = re.compile(r"refuse\(\w+, '(\w+)'")


def trees() -> Iterator[ast.Module]:
    for path in PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_text())
        if path == TABLE:  # the errors that it defines raise codes as well
            tree.body = [node for node in tree.body if isinstance(node, ast.ClassDef)]
        yield tree


def in_lua() -> set[str]:
    return {code for path in PACKAGE.rglob("*.lua") for code in REFUSED_IN_LUA.findall(path.read_text())}


def declared(node: ast.AST) -> list[str]:
    """The codes that a route says it may answer: no proof that it does."""
    if isinstance(node, ast.keyword) and node.arg == "errors" and not isinstance(node.value, ast.Constant):
        return texts(node.value)
    is_list = isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["ANY_CODES"]
    return texts(node.value) if is_list and isinstance(node, ast.Assign) else []


def texts(node: ast.AST) -> list[str]:
    return [n.value for n in ast.walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, str)]


def raised(node: ast.AST) -> list[str]:
    """The code of an error that is made right here."""
    if not isinstance(node, ast.Call) or ast.unparse(node.func) not in {"RequestError", "Error.of"} or not node.args:
        return []
    first = node.args[0]
    return [first.value] if isinstance(first, ast.Constant) and isinstance(first.value, str) else []


def test_what_is_raised_or_declared_is_in_the_table() -> None:
    found = {code for tree in trees() for node in ast.walk(tree) for code in (*raised(node), *declared(node))}
    assert len(found) > len(ERRORS) / 2, "this finds them"
    assert in_lua(), "and those of Lua"
    assert sorted((found | in_lua()) - ERRORS.keys()) == []


def test_what_is_in_the_table_is_raised() -> None:
    said = in_lua()
    for tree in trees():
        here = texts(tree)
        for node in ast.walk(tree):
            for code in declared(node):
                here.remove(code)
        said.update(here)
    assert sorted(ERRORS.keys() - said) == [], "a code that nothing raises promises what is not there"
