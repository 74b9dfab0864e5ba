"""The features, one package each, with everything that only this feature needs."""
