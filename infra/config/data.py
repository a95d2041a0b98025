"""Protection and retention of an environment's data."""

from __future__ import annotations

from collections.abc import Iterator

from infra.config.parts import ConfigPart, Problem


class DataConfig(ConfigPart):
    """Protection and retention of utterances and recordings."""

    #: Keep tables and buckets when a stack is deleted, and refuse to delete the table.
    protected: bool
    #: Restore the table to any second of the last so many days; 0 switches it off.
    point_in_time_recovery_days: int = 0
    utterance_days: int = 30
    #: Recordings are deleted after so many days; None keeps them.
    recording_days: int | None = 30

    def problems(self) -> Iterator[Problem]:
        """Yield periods that are out of range."""
        if not 0 <= self.point_in_time_recovery_days <= 35:  # noqa: PLR2004 - DynamoDB's limit
            yield "point_in_time_recovery_days", "give 0 to 35 days"
        if not 1 <= self.utterance_days <= 3650:  # noqa: PLR2004 - the function refuses more
            yield "utterance_days", "give 1 to 3650 days"
        if self.recording_days is not None and self.recording_days < 1:
            yield "recording_days", "give at least 1 day, or null to keep recordings"
