"""The API's documents as pydantic models, each with the function that makes it from the host's own dataclass."""
