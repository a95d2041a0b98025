"""The parts of the demo: one module for each process, on `part.py` and `program.py`.

part            the interface of a part, and how it is kept running
program         a part that is a Python program of ours
emulator        the emulator of AWS, with the stacks in it
service         the WebSocket service
transcribe      the local Amazon Transcribe
recordings      the server for recordings
"""
