"""A folder of weights: checked, hashed, opened, and asked."""
