"""Receipts of gifts, histories of wallets, and spending to date."""
