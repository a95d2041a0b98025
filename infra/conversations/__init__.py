"""Conversations: the queue of finals, the function that stores them, and the table.

service -> queue -> TranscriptProcessor -> table -> stream
'-> dead letters, after five attempts
"""
