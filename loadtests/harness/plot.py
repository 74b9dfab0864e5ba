"""Bars for people who look before they read: an SVG without anything loaded from elsewhere."""

from dataclasses import dataclass
from html import escape
from math import log10

WIDTH, LABEL_WIDTH, VALUE_WIDTH = 860, 230, 120
BAR, GAP, TITLE, PAD = 20, 7, 34, 16
OURS, PEERS = "#d6336c", "#868e96"
DECADES_MIN = 1.5  # what spans more is shown on a logarithmic scale


@dataclass(frozen=True, slots=True)
class Panel:
    """One chart: a bar for each label. `unit` says what the numbers are."""

    title: str
    unit: str
    bars: list[tuple[str, float]]

    @property
    def height(self) -> int:
        """In pixels."""
        return TITLE + len(self.bars) * (BAR + GAP) + PAD


def svg(panels: list[Panel]) -> str:
    """All panels, one below the other."""
    height = PAD + sum(panel.height for panel in panels)
    size = f'width="{WIDTH}" height="{height}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="13">',
        f'<rect {size} fill="#ffffff"/>',
    ]
    top = PAD
    for panel in panels:
        parts += _panel(panel, top)
        top += panel.height
    return "\n".join([*parts, "</svg>", ""])


def _panel(panel: Panel, top: int) -> list[str]:
    values = [value for _, value in panel.bars]
    is_log = min(values) > 0 and log10(max(values) / min(values)) > DECADES_MIN
    scale = ", logarithmic" if is_log else ""
    parts = [
        f'<text x="{PAD}" y="{top + 16}" font-weight="600">{escape(panel.title)}</text>',
        f'<text x="{WIDTH - PAD}" y="{top + 16}" text-anchor="end" fill="#495057">{escape(panel.unit + scale)}</text>',
    ]
    room = WIDTH - LABEL_WIDTH - VALUE_WIDTH - PAD
    for place, (label, value) in enumerate(panel.bars):
        y = top + TITLE + place * (BAR + GAP)
        share = _share(value, values, is_log=is_log)
        color = OURS if label.startswith("livegift") else PEERS
        parts += [
            f'<text x="{LABEL_WIDTH - 8}" y="{y + 15}" text-anchor="end">{escape(label)}</text>',
            f'<rect x="{LABEL_WIDTH}" y="{y}" width="{max(share * room, 1):.1f}" height="{BAR}" fill="{color}"/>',
            f'<text x="{LABEL_WIDTH + share * room + 8:.1f}" y="{y + 15}">{_number(value)}</text>',
        ]
    return parts


def _share(value: float, values: list[float], *, is_log: bool) -> float:
    if not is_log:
        return value / max(values)
    floor = log10(min(values)) - 0.3
    return (log10(value) - floor) / (log10(max(values)) - floor)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:,.1f}"  # noqa: PLR2004 - digits enough either way
