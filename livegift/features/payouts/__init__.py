"""Payouts: diamonds for money, and the bank's files."""
