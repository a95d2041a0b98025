"""The regions in which AWS offers the language services that captions use.

Not every region has them, and Transcribe streams in fewer regions than it transcribes recordings
in. In another region a deployment would succeed, but every stream would fail. The regions are those
in the data of AWS's SDK for Python, in the version that `infra/requirements.txt` pins.
"""

from __future__ import annotations

from functools import cache

import botocore.session


@cache
def regions_of(endpoint: str) -> frozenset[str]:
    """Return the regions of all partitions that have an endpoint, such as `translate`."""
    partitions = botocore.session.get_session().get_data("endpoints")["partitions"]
    return frozenset(
        region
        for partition in partitions
        for region in partition["services"].get(endpoint, {}).get("endpoints", {})
        if "fips" not in region
    )


@cache
def medical_regions() -> frozenset[str]:
    """Return the regions in which Transcribe Medical streams.

    No list of endpoints has them, so these are the regions that Amazon Chime SDK's API accepts.
    """
    chime = botocore.session.get_session().get_service_model("chime-sdk-meetings")
    return frozenset(chime.shape_for("TranscribeMedicalRegion").metadata["enum"]) - {"auto"}
