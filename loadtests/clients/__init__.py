"""The other side of the benchmarks: processes of their own, so that their work is not the server's."""
