"""The control mapping: what a record is evidence for in public frameworks, from the versioned data files beside."""
