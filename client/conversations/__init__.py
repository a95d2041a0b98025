"""The stored utterances of live conversations, and their formats."""
