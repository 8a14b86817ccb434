"""The time that evidence is stamped with."""

import os
import time


def now() -> str:
    """UTC, to the second; SOURCE_DATE_EPOCH is honoured."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(int(epoch) if epoch and epoch.isdigit() else None))
