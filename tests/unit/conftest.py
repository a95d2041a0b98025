"""Settings of the AWS SDK, which unit tests start hundreds of times."""

from __future__ import annotations

import functools

import botocore.session

# Each session would search botocore's folders and parse the services' models again, which takes
# longer than most tests. What a loader has read does not change.
botocore.session.create_loader = functools.cache(botocore.session.create_loader)
