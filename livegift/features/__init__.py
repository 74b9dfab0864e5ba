"""One package per feature, with everything that only this feature needs."""
