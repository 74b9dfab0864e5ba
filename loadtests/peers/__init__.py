"""What livegift is measured beside."""
