"""Drills: failures under load. `python -m loadtests.drills NAME`."""
