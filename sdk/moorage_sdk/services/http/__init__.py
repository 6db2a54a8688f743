"""HTTP: the real httpx and requests, whose requests the host makes. Neither library is imported before it is used."""
