"""Opening, changing, listing and auditing rooms."""
