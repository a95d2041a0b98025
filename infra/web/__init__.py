"""The page: its distribution, files, headers and access log."""
