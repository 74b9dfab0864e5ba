"""Seeded faults against the real system, and checks of what must be true after them."""
