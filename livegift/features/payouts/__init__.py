"""Diamonds for money: creators' payouts and the bank's files."""
