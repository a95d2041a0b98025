"""The pipeline of one audio stream: from a speaker's audio to published captions."""
