"""What differs from region to region."""

import zoneinfo
from collections.abc import Iterator

import pytest

from livegift.contract.errors import ConfigError
from livegift.domain.regions import require_time_zones


@pytest.fixture
def without_time_zones(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine that has none, and no package with them."""
    before = zoneinfo.TZPATH
    monkeypatch.setattr("importlib.resources.files", _nothing)
    zoneinfo.reset_tzpath(to=())
    zoneinfo.ZoneInfo.clear_cache()
    yield
    zoneinfo.reset_tzpath(to=before)
    zoneinfo.ZoneInfo.clear_cache()


def _nothing(package: str) -> object:
    raise ModuleNotFoundError(package)


@pytest.mark.usefixtures("without_time_zones")
def test_a_start_without_time_zones_says_what_to_install() -> None:
    with pytest.raises(ConfigError, match="install the Python package tzdata"):
        require_time_zones()


def test_the_package_serves_where_the_system_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zoneinfo, "TZPATH", ())
    zoneinfo.ZoneInfo.clear_cache()
    require_time_zones()
