"""Controls: known attacks and benign fine-tunes in throw-away copies of the audited checkpoint, scanned like it."""
