"""Gifts, coin packages, prices and promotions: what can be bought and sent."""
