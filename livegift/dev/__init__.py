"""The private system of `livegift dev`: servers, supervisor, simulated viewers."""
