"""What several benchmarks or drills use: private systems, processes, recordings, figures and their report."""
