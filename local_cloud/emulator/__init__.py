"""The emulator of AWS: its process, and the program that runs in it."""
