"""Receipts of gifts."""
