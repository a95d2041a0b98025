"""Custom vocabularies and vocabulary filters, and the calls that manage them."""
