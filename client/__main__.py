"""`python -m client`."""

from __future__ import annotations

from client.commands import app

app()
