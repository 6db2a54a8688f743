"""What is told about plugins: their output, their log, and what they did."""
