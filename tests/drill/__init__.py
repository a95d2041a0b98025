"""`make drill`: speakers and viewers through everything that breaks, and what they lost."""
