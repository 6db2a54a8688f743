"""What starts executions without a person: schedules and sources, one file for each technology."""
