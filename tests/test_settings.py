"""Settings are declared by their owners and read by one reader."""

from typing import Annotated

import pytest
from msgspec import Meta

from livegift.composition import load_settings, make_settings, settings_owners
from livegift.contract.errors import ConfigError
from livegift.features.orders.settings import OrderSettings
from livegift.features.payouts.settings import PayoutSettings
from livegift.runtime.settings import (
    CoreSettings,
    OwnSettings,
    Settings,
    declared,
    is_secret,
    settings_source,
    variables_of,
)
from livegift.runtime.settings import make_settings as make_with

STORES = {"LIVEGIFT_REDIS_URL": "redis://h", "LIVEGIFT_DATABASE_URL": "postgresql://h"}


class OfATest(OwnSettings, frozen=True, kw_only=True):
    of_a_test: Annotated[int, Meta(ge=1, description="a number")] = 7

    def check(self) -> None:
        if self.of_a_test == 13:
            raise ConfigError("LIVEGIFT_OF_A_TEST: expected another number, got 13")


class Greedy(OwnSettings, frozen=True, kw_only=True):
    port: int = 1


def test_each_owner_reads_its_own() -> None:
    settings = load_settings(environ={**STORES, "LIVEGIFT_REAUTH_AMOUNT": "5", "LIVEGIFT_PORT": "81"})
    assert (settings.port, settings.of(OrderSettings).reauth_amount) == (81, 5)
    assert settings.of(PayoutSettings).payout_diamonds_day_max == 2_000_000


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"LIVEGIFT_REAUTH_AGE_S": "0"}, "^LIVEGIFT_REAUTH_AGE_S: Expected `int` >= 1, got '0'$"),
        ({"LIVEGIFT_PORT": "many"}, "^LIVEGIFT_PORT: Expected `int`, got `str`, got 'many'$"),
        ({"LIVEGIFT_REFUND_POLICY": "none"}, "^LIVEGIFT_REFUND_POLICY: Invalid enum value 'none', got 'none'$"),
        ({"LIVEGIFT_SANDBOX_SECRETS": "short"}, "^LIVEGIFT_SANDBOX_SECRETS: each must have at least 32 bytes$"),
        ({"LIVEGIFT_JWT_SECRET": "short"}, "^LIVEGIFT_JWT_SECRET must have at least 32 bytes$"),
        ({"LIVEGIFT_STRIPE_API_KEY": "sk_test_x"}, "set both or none$"),
    ],
)
def test_a_wrong_value_is_told_in_a_sentence_whoever_owns_it(given: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_settings(environ={**STORES, **given})


def test_what_nobody_declares_is_passed_over_in_the_environment_and_refused_in_code() -> None:
    assert load_settings(environ={**STORES, "LIVEGIFT_OF_A_TEST": "x"}) == load_settings(environ=STORES)
    with pytest.raises(TypeError, match="no owner declares the settings of_a_test"):
        make_settings(redis_url="", database_url="", of_a_test=1)


def test_a_setting_has_one_owner() -> None:
    with pytest.raises(ValueError, match=r"^LIVEGIFT_PORT is declared by CoreSettings and Greedy$"):
        declared([Greedy])
    names = declared(settings_owners())
    owners: list[type[OwnSettings]] = [CoreSettings, *settings_owners()]
    assert len(names) == sum(len(owner.__struct_fields__) for owner in owners)


def test_an_owners_check_is_called() -> None:
    values = {"redis_url": "", "database_url": ""}
    assert make_with([OfATest], values).of(OfATest).of_a_test == 7
    with pytest.raises(ConfigError, match="expected another number, got 13"):
        make_with([OfATest], {**values, "of_a_test": "13"})


def test_settings_that_were_not_read_are_missed() -> None:
    with pytest.raises(LookupError, match="OrderSettings was not read"):
        Settings(redis_url="", database_url="").of(OrderSettings)


def test_all_are_described_and_secrets_are_marked() -> None:
    for name, owner in declared(settings_owners()).items():
        assert any(meta.description for meta in owner.__annotations__[name].__metadata__), name
    secret = {name for name, owner in declared(settings_owners()).items() if is_secret(owner, name)}
    assert secret == {
        "jwt_secret",
        "jwt_former_secrets",
        "redis_url",
        "database_url",
        "sandbox_secrets",
        "stripe_api_key",
        "stripe_webhook_secrets",
    }


def test_another_process_reads_the_same() -> None:
    settings = make_settings(
        redis_url="redis://h", database_url="postgresql://h", fast_path=False, drain_s=0.5, reauth_amount=5
    )
    assert load_settings(environ=variables_of(settings)) == settings
    assert settings_source(environ=variables_of(settings)) is None


def test_some_are_replaced_whoever_owns_them() -> None:
    settings = make_settings(redis_url="redis://h", database_url="postgresql://h", reauth_amount=5, hold_h=1)
    changed = settings.replaced(reauth_amount=6, port=0)
    assert (changed.of(OrderSettings).reauth_amount, changed.port, changed.hold_h) == (6, 0, 1)
    with pytest.raises(ConfigError, match=r"^LIVEGIFT_PORT: Expected `int` >= 0, got -1$"):
        settings.replaced(port=-1)
