"""Settings of the services that the broker offers, one file for each."""
