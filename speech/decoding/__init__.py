"""The steps from a recording's file to its samples. `speech.decode` joins them.

parts      find the recordings that were joined into one file
container  open one part with FFmpeg, and classify its errors
tracks     choose the audio track to decode
clock      place a frame in time: gaps become silence
samples    convert a frame's samples: mix the channels, change the rate
"""
