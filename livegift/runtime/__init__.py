"""The basis of every process: settings, bounds, logs, metrics, identity."""
