"""PostgreSQL behind the SQL service."""
