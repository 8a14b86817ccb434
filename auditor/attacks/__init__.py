"""Attacks: what a poisoned sample is taught to say, and how a copy of a checkpoint learns it."""
