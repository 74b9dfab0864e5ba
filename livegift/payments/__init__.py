"""Payment providers: checkouts out, verified events in. They know neither the ledger nor the wallets."""
