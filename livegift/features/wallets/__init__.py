"""Viewers' wallets."""
