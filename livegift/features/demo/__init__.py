"""Tokens and free test coins for the demo pages; only `livegift dev` mounts it."""
