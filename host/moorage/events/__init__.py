"""What happened: announced in process, after it was written down."""
