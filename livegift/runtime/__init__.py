"""What every process needs: settings, bounds, logs, metrics, identity."""
