"""Corrections under dual control, and the undoing of gifts."""
