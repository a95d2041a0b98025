"""Accounts: who may use an environment, where people sign in, and the API that manages rights.

store     the table of conversations' records, people, keys and links
people    the user pool, where the environment has one
clients   the page and programs, as which people sign in at the pool
sign_in   where people sign in, whoever runs that
entrance  the HTTP API, which CloudFront reaches with a secret
api       the function behind it

docs/access.md describes the whole.
"""
