"""Load tests and benchmarks. Nothing here is part of the server."""
