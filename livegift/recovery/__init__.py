"""Repair of Redis from the ledger: partitions before they are armed, rooms before they publish. See decision 007."""
