"""The docs' code blocks work: those in Python, JSON and JavaScript parse, and what a reader types does what it says."""

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.dev import Dev
from tests.documents import GUIDES, PAGES, Block, blocks, name

SH_TIMEOUT_S = 60
BASH = shutil.which("bash") or "/bin/bash"
ADDRESS = "127.0.0.1:8080"


def found(*languages: str) -> list[Block]:
    return [block for page in PAGES for block in blocks(page, *languages)]


@pytest.mark.parametrize("block", found("python"), ids=str)
def test_python_parses(block: Block) -> None:
    ast.parse(block.text)


@pytest.mark.parametrize("block", found("json"), ids=str)
def test_json_parses(block: Block) -> None:
    """One value after the other."""
    decoder, rest = json.JSONDecoder(), block.text.strip()
    assert rest
    while rest:
        _, end = decoder.raw_decode(rest)
        rest = rest[end:].strip()


@pytest.mark.parametrize("block", found("js"), ids=str)
def test_javascript_parses(block: Block, tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("there is no node to parse JavaScript with")
    module = tmp_path / "block.mjs"
    module.write_text(block.text)
    done = subprocess.run([node, "--check", str(module)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_what_the_guides_have_typed_works(tmp_path: Path) -> None:
    """All guides on one system, in their order: the quick start first, which the others build on."""
    (tmp_path / ".venv").symlink_to(sys.prefix)
    with Dev(tmp_path / ".livegift") as dev:
        address = (await dev.ready()).removeprefix("http://")
        for page in GUIDES:
            script = [f"set -eo pipefail # {name(page)}"]
            for block in blocks(page):
                text = block.text.replace(ADDRESS, address)
                if block.file:
                    (tmp_path / block.file).write_text(text)
                elif block.language == "sh":
                    script.append(text)
            run(script, tmp_path)


def run(script: list[str], folder: Path) -> None:
    """Run the shell blocks of one page, in one shell as a reader does. Raises AssertionError with what it said."""
    path = os.environ["PATH"]
    environ = {"PATH": path, "HOME": str(folder)}
    done = subprocess.run(
        [BASH, "-x", "-c", "\n".join(script)], cwd=folder, env=environ, capture_output=True, text=True,
        timeout=SH_TIMEOUT_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
