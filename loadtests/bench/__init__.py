"""Benchmarks: what the machine's cores buy. `python -m loadtests.bench MODE`."""
