"""The embedded engine: Moonshine's small English model, in worker processes.

engine       the engine
settings     what an operator sets of it
recogniser   one stream: segments, partials, finals
files        finds the model's files
model        runs the two networks: audio in, tokens with probabilities out
vocabulary   tokens as text and words
guards       rejects what the model invents for sounds without words
word_times   the place of each word in the audio
heap         keeps a worker small
"""
