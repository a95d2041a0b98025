"""The error that stops the launcher. Standard library only: it is raised before the set-up, too."""

from __future__ import annotations


class LaunchError(Exception):
    """The demo cannot start or go on; the message names what the user must change."""


class InvalidSettings(LaunchError):
    """Settings are wrong; the text has a line for each problem."""
