"""The processes of the Procfile: web, relay and aggregator."""
