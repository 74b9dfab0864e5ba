"""What operators did by hand."""
