"""The broker: owns links and service connections, and lets a call through only past the gate."""
