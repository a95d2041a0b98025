"""Set-up of a bare clone: runs on the system's Python alone, before anything is installed."""
