"""What runs in a worker: the bootstrap, the link to the host, and the service that the host calls."""
