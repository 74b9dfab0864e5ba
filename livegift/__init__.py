"""livegift: gifting for live streams. Coins, gifts and diamonds, exact and fast."""

__version__ = "0.1.0"
