"""Accounts of the demo: what `ACCESS=accounts make demo` sets up in the emulator.

setup       all of it, at each start; what is there already is kept
pool        the user pool with its clients, where people sign in
people      two people who can sign in, with generated passwords
api         the table of rights, the API's function and the HTTP API before it

The CDK's stacks do not provision this. Addresses of the page and of the emulator belong to its
settings, and they change with `PORT`: a deployment would take a minute where a call takes
milliseconds.
"""
