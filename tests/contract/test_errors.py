"""The error tables: each code in them is raised somewhere, and each that is raised is in one."""

import ast
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

import livegift
from livegift import composition
from livegift.contract.errors import ErrorKind
from livegift.features.slots import Feature
from livegift.processes.app import create_app

PACKAGE = Path(livegift.__file__).parent
TABLE = PACKAGE / "contract" / "errors.py"
TABLES_OF_FEATURES = sorted(PACKAGE.glob("features/*/errors.py"))
ERRORS = composition.errors()
# The names of features' own errors -> code.
OWN = {
    name: kind.code
    for path in TABLES_OF_FEATURES
    for name, kind in vars(import_module(f"livegift.features.{path.parent.name}.errors")).items()
    if isinstance(kind, ErrorKind)
}
REFUSED_IN_LUA = re.compile(r"refuse\(\w+, '(\w+)'")


def trees() -> Iterator[ast.Module]:
    for path in PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_text())
        if path == TABLE:  # the errors that it defines raise codes as well
            tree.body = [node for node in tree.body if isinstance(node, ast.ClassDef)]
        if path not in TABLES_OF_FEATURES:
            yield tree


def in_lua() -> set[str]:
    return {code for path in PACKAGE.rglob("*.lua") for code in REFUSED_IN_LUA.findall(path.read_text())}


def declared(node: ast.AST) -> list[str]:
    """The codes that a route says it may answer: no proof that it does."""
    if isinstance(node, ast.keyword) and node.arg == "errors" and not isinstance(node.value, ast.Constant):
        return texts(node.value)
    is_list = isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["ANY_CODES"]
    return texts(node.value) if is_list and isinstance(node, ast.Assign) else []


def code_of(node: ast.AST) -> str | None:
    """The code that a constant or the name of a feature's own error stands for; any other text is returned as it is."""
    if isinstance(node, ast.Name):
        return OWN.get(node.id)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def texts(node: ast.AST) -> list[str]:
    return [code for each in ast.walk(node) if (code := code_of(each)) is not None]


def raised(node: ast.AST) -> list[str]:
    """The code of an error that is made right here."""
    if not isinstance(node, ast.Call) or ast.unparse(node.func) not in {"RequestError", "Error.of"} or not node.args:
        return []
    code = code_of(node.args[0])
    return [] if code is None else [code]


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


def test_each_error_of_a_feature_is_in_its_slot() -> None:
    assert len(OWN) == sum(len(feature.errors) for feature in composition.features() + composition.dev_features())
    assert set(OWN.values()) <= ERRORS.keys()


@pytest.mark.parametrize("code", ["conflict", "too_many_matches"])
def test_a_web_process_refuses_a_code_that_is_there_already(code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    known = composition.features()
    twice = Feature("polls", errors=(ErrorKind(code, "This room has an open poll.", 409),))
    monkeypatch.setattr(composition, "features", lambda: (*known, twice))
    settings = composition.make_settings(redis_url="redis://127.0.0.1:1", database_url="postgresql://127.0.0.1:1/none")
    with pytest.raises(RuntimeError, match=f"polls: expected an error code of its own, {code} is there already"):
        create_app(settings)
