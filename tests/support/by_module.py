"""Which tests pytest-xdist gives to one worker."""

from __future__ import annotations

from typing import Final

from xdist.scheduler import LoadScopeScheduling

#: Long modules whose tests share no fixture of the module.
INDEPENDENT: Final = (
    "test_finals_are_kept.py",
    "test_launcher.py",
)


class ByModule(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no annotations
    """Gives whole modules to workers, so that each fixture of a module is made once."""

    def _split_scope(self, nodeid: str) -> str:
        module = nodeid.partition("::")[0]
        return nodeid if module.endswith(INDEPENDENT) else module
