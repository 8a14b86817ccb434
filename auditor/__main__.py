"""`python -m auditor`: the same as `pcr-audit`, for launchers that start modules."""

from auditor.cli.main import run

if __name__ == "__main__":
    run()
