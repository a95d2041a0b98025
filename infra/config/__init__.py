"""The environment's type, a module for each of its parts, and the values of your own account."""
