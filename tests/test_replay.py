"""Recorded evenings: what of a log is sent, and that it adds up on a real system."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from loadtests.replay import Send, sends_of


def message(user: str, streak: int, repeat_count: int, second: float, **more: object) -> dict[str, Any]:
    return {
        "room": "r1",
        "ts": f"2026-11-01T20:00:{second:06.3f}Z",
        "user": user,
        "gift_id": "rose",
        "gift_name": "Rose",
        "coins_each": 1,
        "streakable": True,
        "streak": streak,
        "repeat_count": repeat_count,
        "repeat_end": False,
        **more,
    }


LION = {"gift_id": "lion", "gift_name": "", "coins_each": 29_999, "streakable": False}
MESSAGES = [
    message("ann", 1, 3, 0.0),
    message("ann", 1, 2, 0.0),  # overtaken
    message("bob", 2, 1, 1.0, **LION),
    message("ann", 1, 10, 2.0),
    message("ann", 1, 10, 6.0, repeat_end=True),
    message("ann", 3, 1, 8.0),
]


def test_each_message_adds_what_is_new_in_its_streak() -> None:
    assert sends_of([json.dumps(line) for line in MESSAGES]) == [
        Send("r1", "ann", "rose", 2, 0.0),
        Send("r1", "ann", "rose", 1, 0.0),
        Send("r1", "bob", "lion", 1, 1.0),
        Send("r1", "ann", "rose", 7, 2.0),
        Send("r1", "ann", "rose", 1, 8.0),
    ]


@pytest.mark.slow
def test_a_recorded_evening_adds_up(tmp_path: Path) -> None:
    catalogue, log = tmp_path / "gifts.json", tmp_path / "gifts.jsonl"
    catalogue.write_text(
        json.dumps([{"id": "rose", "coins": 1, "name": "Rose", "icon": "https://cdn.example.com/r.webp"}])
    )
    log.write_text("\n".join(json.dumps(line) for line in MESSAGES))
    argv = [sys.executable, "-m", "loadtests.replay", "--catalogue", str(catalogue), "--log", str(log), "--speed", "4"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    figures = dict(line.rsplit(maxsplit=1) for line in done.stdout.splitlines())
    assert {figures[f"coins {what}"] for what in ("sent", "seen", "booked")} == {str(11 + 29_999)}
    assert figures["streaks"] == figures["streaks ended once"]
