"""Python's garbage collector, told what a long-lived process is."""

import gc

ALLOCATIONS = 20_000  # Python's 700 is for small programs


def keep_what_is_loaded() -> None:
    """Call it once, when modules and settings are there: collections under load then look at what came since."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(ALLOCATIONS)
