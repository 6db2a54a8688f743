"""A shop that lets plugins charge its customers and see its stock."""
