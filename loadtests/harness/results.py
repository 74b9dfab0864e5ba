"""The outcome of a scenario: rows for people, data for the record."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Row:
    """One figure. `target` says what it should be, if anything was said; `note` what must be known to read it."""

    what: str
    value: float
    unit: str
    target: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """One mode's figures (medians of its repetitions), every repetition in `runs`, and what casts doubt on them."""

    rows: list[Row]
    setup: dict[str, object]
    runs: list[dict[str, object]]
    doubts: list[str] = field(default_factory=list)

    def has_passed(self) -> bool:
        """Return whether every figure that is to be 0 is 0."""
        return all(row.value == 0 for row in self.rows if row.target == "0")


def table(title: str, result: Result) -> str:
    """Return the figures as people read them."""
    lines = [f"\n{title}"]
    width = max(len(row.what) for row in result.rows)
    for row in result.rows:
        target = f"  (target {row.target})" if row.target else ""
        note = f"  {row.note}" if row.note else ""
        digits = 0 if abs(row.value) >= 1000 else 2  # noqa: PLR2004 - enough digits either way
        lines.append(f"  {row.what:<{width}}  {row.value:>12,.{digits}f} {row.unit}{target}{note}")
    lines += [f"  ! {doubt}" for doubt in result.doubts]
    return "\n".join(lines)
