"""Fleets of independent work: keyed items, on Ray or in this process, resumable at any moment."""
