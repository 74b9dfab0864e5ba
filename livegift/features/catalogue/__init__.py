"""The catalogue: gifts, coin packages, prices and promotions."""
