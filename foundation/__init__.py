"""The lowest room: one way for what several rooms need. It imports nothing of ours.

A module imports only what its own idea needs, so that a function which takes one of them does not
load the libraries of another.
"""
