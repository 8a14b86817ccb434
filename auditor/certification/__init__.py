"""Judges what was measured: severities, verdicts and exit codes."""
