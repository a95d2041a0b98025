"""Settings of the AWS SDK and the garbage collector that make thousands of short tests cheaper."""

from __future__ import annotations

import functools
import gc

import botocore.session

# Each session would search botocore's folders and parse the services' models again, which takes
# longer than most tests. What a loader has read does not change.
botocore.session.create_loader = functools.cache(botocore.session.create_loader)

# A full collection visits every module and test, and all of those live until the end.
gc.set_threshold(50_000, 20, 100)


def pytest_collection_finish() -> None:
    """Exempt what has been imported and collected from garbage collection."""
    gc.collect()
    gc.freeze()
