"""Rooms: opening, changing, listing and auditing them."""
