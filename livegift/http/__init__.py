"""The HTTP side: admission, rate limits, routing, bodies and errors."""
