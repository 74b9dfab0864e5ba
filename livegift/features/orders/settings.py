"""The settings of orders and payments."""

from collections.abc import Mapping
from typing import Annotated

from msgspec import Meta

from livegift.contract.errors import ConfigError
from livegift.features.earnings.public import RefundPolicy
from livegift.runtime.settings import SECRET, OwnSettings, check_secrets, secrets_of


class OrderSettings(OwnSettings, frozen=True, kw_only=True):
    """The settings of providers, of sign-ins for large purchases, and of clawbacks after refunds."""

    sandbox_secrets: Annotated[
        str,
        Meta(
            description="signing secrets of the sandbox (no money), comma-separated, the newest first; empty = off",
            extra=SECRET,
        ),
    ] = ""
    stripe_api_key: Annotated[str, Meta(description="Stripe's secret key; empty = off", extra=SECRET)] = ""
    stripe_api_base: Annotated[str, Meta(description="another address of Stripe's API, for tests")] = ""
    stripe_webhook_secrets: Annotated[
        str,
        Meta(
            description="signing secrets of Stripe's webhooks, comma-separated: several while one is replaced",
            extra=SECRET,
        ),
    ] = ""
    reauth_amount: Annotated[
        int, Meta(ge=0, description="purchases worth more US cents than this need a fresh sign-in; 0 = never")
    ] = 10_000
    reauth_age_s: Annotated[int, Meta(ge=1, description="seconds since that sign-in (claim auth_time), at most")] = 300
    refund_policy: Annotated[
        RefundPolicy,
        Meta(description="pending diamonds of gifts whose money is given back: creator_keeps or hold_back"),
    ] = "creator_keeps"

    def check(self) -> None:
        """Raise ConfigError for secrets that would let others sign webhooks, or nobody."""
        check_secrets("LIVEGIFT_SANDBOX_SECRETS", self.sandbox_secrets)
        if bool(self.stripe_api_key) != bool(secrets_of(self.stripe_webhook_secrets)):
            raise ConfigError("LIVEGIFT_STRIPE_API_KEY and LIVEGIFT_STRIPE_WEBHOOK_SECRETS: set both or none")
        if self.stripe_api_key and secrets_of(self.sandbox_secrets):
            raise ConfigError(
                "LIVEGIFT_STRIPE_API_KEY and LIVEGIFT_SANDBOX_SECRETS are both set, but the sandbox gives coins for no "
                "money to whoever asks for it: set one of them"
            )

    @classmethod
    def dev_secrets(cls, environ: Mapping[str, str]) -> tuple[str, ...]:
        """Return the sandbox's variable. With Stripe it gets no secret, so it is off: it gives coins for nothing."""
        return () if environ.get("LIVEGIFT_STRIPE_API_KEY") else ("LIVEGIFT_SANDBOX_SECRETS",)

    @classmethod
    def dev_note(cls, environ: Mapping[str, str]) -> str | None:
        """Return a line when the sandbox is off."""
        if environ.get("LIVEGIFT_STRIPE_API_KEY"):
            return "payments: Stripe, as LIVEGIFT_STRIPE_API_KEY is set; the sandbox is off"
        return None
