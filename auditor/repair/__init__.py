"""Removes a backdoor by fine-tuning on clean pictures; always into a new folder."""
