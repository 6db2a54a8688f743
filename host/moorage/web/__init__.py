"""The REST API: nouns as routes, models translated at the edge, problems as sentences."""
