"""The science: asks a subject questions; knows no files and no command line."""
