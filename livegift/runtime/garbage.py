"""Settings of Python's garbage collector for a long-lived process."""

import gc

ALLOCATIONS = 20_000  # Python's 700 is for small programs


def freeze_loaded_objects() -> None:
    """Exempt everything loaded so far from garbage collection. Call it once, after start-up."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(ALLOCATIONS)
