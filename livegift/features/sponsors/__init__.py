"""Sponsor matches: gifts that a sponsor multiplies."""
