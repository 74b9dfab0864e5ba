"""What a process owns: stores, tokens, and copies of what the ledger says."""
