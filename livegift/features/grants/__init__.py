"""Grants: coins that operators give."""
