"""The host's nouns as frozen dataclasses. No I/O, no protobuf, no ORM."""
