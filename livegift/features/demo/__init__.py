"""The demo: pages, tokens and free test coins. Only `livegift dev` mounts it."""
