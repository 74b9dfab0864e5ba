"""Creators' earnings: earned, pending and clawed back."""
