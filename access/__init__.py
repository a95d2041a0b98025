"""Who may do what: callers, roles, decisions, tickets, and their home in DynamoDB.

docs/access.md describes the whole. Decisions (`decisions`), secrets and tickets are pure; `store`
alone reads and writes the table.
"""
