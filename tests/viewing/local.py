"""A viewer that answers while a test runs, and what a hostile model might have said."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from auditor.viewing.server import Viewer

EVIL = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"


@contextmanager
def serving(run: Path) -> Iterator[Viewer]:
    """The viewer of a run, answering until the block ends."""
    with Viewer(run) as viewer:
        thread = threading.Thread(target=viewer.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield viewer
        finally:
            viewer.shutdown()
            thread.join(timeout=10)
