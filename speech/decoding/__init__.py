"""The steps from a recording's file to its samples; `speech.decode` joins them.

parts      where the files begin and end that were joined into this one
container  FFmpeg on one part; whatever it raises is a verdict on the file
tracks     which audio track is decoded
clock      where a frame lies in time: gaps become silence
samples    a frame's samples as an array; channels are mixed, the rate is converted
"""
