"""What operators run: audit, quarantine, doctor, migration."""
