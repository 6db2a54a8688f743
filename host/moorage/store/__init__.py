"""The store: what the host must still know after it was killed."""
