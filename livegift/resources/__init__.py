"""The resources of a process: stores, tokens, and cached copies from the ledger."""
