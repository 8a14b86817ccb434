"""The embedded model and pictures, and the recipes that made them."""
