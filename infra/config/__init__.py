"""The environment's type, a module for each part, and the values of one's own account."""
