"""Coins that operators give."""
