"""What plugins are made of: manifests, the folders they lie in, and the host's own copies of their code."""
