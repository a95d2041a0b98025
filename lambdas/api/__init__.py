"""The function behind `/api/app/v1`: conversations, share links, tickets, API keys, people.

docs/access.md describes it, `access.messages` has its messages.
"""
