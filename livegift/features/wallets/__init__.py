"""What a viewer has."""
