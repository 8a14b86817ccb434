"""A run in the browser: its report, its items, and its progress while it goes; on this machine alone."""
