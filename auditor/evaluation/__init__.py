"""Measurement: pure functions from answers to numbers that carry their n and their interval."""
