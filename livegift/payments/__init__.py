"""Payment providers: they make checkouts and verify events, and know neither the ledger nor the wallets."""
