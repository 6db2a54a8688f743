"""The supervisor: brings workers to where people want them, and accounts for every end."""
