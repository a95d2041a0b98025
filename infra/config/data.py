"""Protection and retention of an environment's data."""

from __future__ import annotations

from typing import Annotated

from infra.config.parts import ConfigPart, at_least, within


class DataConfig(ConfigPart):
    """Protection and retention of utterances and recordings."""

    #: Keep tables and buckets when a stack is deleted, and refuse to delete the table.
    protected: bool
    #: Restore the table to any second of the last so many days; 0 switches it off.
    point_in_time_recovery_days: Annotated[int, within(0, 35, " days")] = 0
    #: The function that stores utterances refuses more.
    utterance_days: Annotated[int, within(1, 3650, " days")] = 30
    #: Recordings are deleted after so many days; None keeps them.
    recording_days: Annotated[int | None, at_least(1, " day, or null to keep recordings")] = 30
