"""The SQL service: databases behind the broker, each statement checked while the database compiles it."""
