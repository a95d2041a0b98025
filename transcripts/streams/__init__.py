"""The ledger: what is known of each live stream, so that any task can go on with it."""
