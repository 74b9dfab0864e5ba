"""Putting Redis right from the ledger: partitions before they take money, rooms before they publish. Decision 007."""
