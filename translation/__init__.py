"""Text from one language into another: one port, and a module for each translator."""
