"""Seeded faults against the real system, and what must be true after them."""
