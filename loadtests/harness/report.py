"""docs/benchmarks/README.md and overview.svg from the figures beside them: `python -m loadtests.harness.report`."""

import json
from pathlib import Path
from typing import Any

from loadtests.harness.plot import Panel, svg
from loadtests.harness.processes import ROOT

FOLDER = ROOT / "docs" / "benchmarks"
INTRODUCTION = """# Benchmarks

Written by `make bench` (`python -m loadtests.bench`) and `python -m loadtests.drills`, from the figures in
[latest.json](latest.json) and [drills.json](drills.json), which have every single run, the machine and the setup.

Machines differ and drift, so read the **ratios**: peers are measured in the same run, in turn, with the same events
from the same Redis, on the same core; viewers are a C program that only writes down what came. CPU-seconds say more
than seconds on a machine that others use too. A line that begins with `!` says what casts doubt on a figure.

![Overview](overview.svg)
"""
# Mode -> title, unit, and the end of the rows' names that make the bars.
CHARTS = {
    "fan-out": ("One room, 1,000 viewers, a frame for each gift", "frames per CPU-second", ": frames per CPU-second"),
    "burst": (
        "One room, 1,000 viewers, a rush of gifts",
        "gifts delivered per CPU-second",
        ": event deliveries per CPU-second",
    ),
    "gifts-in": (
        "Gifts accepted (debit in Redis, result)",
        "gifts per CPU-second",
        ": gifts per CPU-second of the web process",
    ),
    "storm": (
        "1,000 viewers come back at once",
        "ms until the last is back: less is better",
        ": until the last of 1,000 is back",
    ),
    "idle": ("Memory of an idle connection", "KiB: less is better", ": PSS per idle connection"),
}


def _panels(known: dict[str, Any]) -> list[Panel]:
    panels = []
    for mode, (title, unit, end) in CHARTS.items():
        rows = known.get(mode, {}).get("figures", [])
        bars = [(row["what"].removesuffix(end), row["value"]) for row in rows if row["what"].endswith(end)]
        if bars:
            panels.append(Panel(title, unit, bars))
    return panels


def _section(mode: str, found: dict[str, Any]) -> list[str]:
    machine = found["machine"]
    facts = (f"`{mode}`", machine["cpu"], f"{machine['cores']} cores", f"load {machine['load_average_1m']} before it")
    lines = [
        f"\n## {found['title'][:1].upper()}{found['title'][1:]}\n",
        " · ".join((*facts, machine["at"])) + "\n",
        "| what | value | target | |",
        "|---|---:|---|---|",
    ]
    for row in found["figures"]:
        value = f"{row['value']:,.0f}" if abs(row["value"]) >= 1000 else f"{row['value']:,.2f}"  # noqa: PLR2004
        lines.append(f"| {row['what']} | {value} {row['unit']} | {row['target']} | {row['note'].replace('|', '/')} |")
    return [*lines, *(f"\n! {doubt}" for doubt in found["doubts"])]


def write(folder: Path = FOLDER) -> None:
    """Read the figures in `folder`, write its page and picture."""
    lines = [INTRODUCTION]
    for name in ("latest", "drills"):
        path = folder / f"{name}.json"
        known = json.loads(path.read_text()) if path.exists() else {}
        for mode, found in known.items():
            lines += _section(mode, found)
        if name == "latest":
            (folder / "overview.svg").write_text(svg(_panels(known)))
    (folder / "README.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    write()
