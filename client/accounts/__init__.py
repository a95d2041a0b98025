"""Accounts: where to sign in, tokens and tickets. Where a site is open nothing of it is needed."""
