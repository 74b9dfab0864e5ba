"""The fault suite's judgement on a starved machine: fast, without servers."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.faults import patience
from tests.faults.__main__ import tell_totals
from tests.faults.patience import LONGER_MAX, NotInTimeError, Patience, wait_patiently
from tests.faults.results import Result


class Machine:
    """A clock that moves by a second at each look, and the share of it that tasks have waited for a CPU."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, share: float) -> None:
        self.now_s, self._share = 0.0, share
        monkeypatch.setattr(patience, "time", SimpleNamespace(monotonic=self.look))
        monkeypatch.setattr(patience, "starved_s", lambda: self.now_s * self._share)

    def look(self) -> float:
        self.now_s += 1
        return self.now_s


@pytest.mark.parametrize(("share", "waits_s"), [(0.0, 10), (0.5, 20), (0.7, 34), (1.0, 10 * LONGER_MAX)])
def test_who_is_short_of_cpu_is_given_more_time_up_to_a_limit(
    monkeypatch: pytest.MonkeyPatch, share: float, waits_s: float
) -> None:
    machine = Machine(monkeypatch, share)
    deadline = Patience(10)
    while not deadline.is_over:
        pass
    assert machine.now_s == pytest.approx(waits_s, abs=6)


async def test_what_comes_is_returned_and_what_does_not_is_no_assertion() -> None:
    values = iter((0, "", "there"))
    assert await wait_patiently(lambda: next(values), "something", 5) == "there"

    async def never() -> bool:
        return False

    with pytest.raises(NotInTimeError, match="still not: anything"):
        await wait_patiently(never, "anything", 0)


def test_the_pressure_is_counted_where_the_machine_tells_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    told = tmp_path / "cpu"
    monkeypatch.setattr(patience, "PRESSURE", told)
    assert patience.starved_s() == 0
    told.write_text("some avg10=97.87 avg60=87.35 avg300=43.40 total=195647117\nfull avg10=0.00 total=0\n")
    assert patience.starved_s() == pytest.approx(195.647117)


def test_a_seed_that_did_not_come_to_rest_is_no_violation_and_is_not_passed_over(
    capsys: pytest.CaptureFixture[str],
) -> None:
    tell_totals([Result(1), Result(2, late=["after 60 s"], unjudged=["a wallet"]), Result(3, violations=["money"])], 9)
    last = capsys.readouterr().out.splitlines()[-1]
    assert "violations: 1 of money, 0 of views (seeds [3])" in last
    assert "NOT JUDGED" in last
    assert "seeds [2]" in last
