"""The HTTP side: who gets in, what a request may cost, how bodies are read and errors answered."""
