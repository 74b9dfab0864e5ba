"""The operator's tasks: audit, quarantine, doctor, migration."""
