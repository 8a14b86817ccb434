"""The bench: a matrix of attacks, models and tasks, run as a fleet, and the tables that judge everything else."""
