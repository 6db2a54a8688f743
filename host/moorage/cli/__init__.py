"""The command line: a client of the API, and what works without a host."""
