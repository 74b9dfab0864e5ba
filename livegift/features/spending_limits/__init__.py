"""Spending limits and frozen wallets."""
