"""What creators have earned, what is held and what is taken back."""
