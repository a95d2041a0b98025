"""Machine translation: one interface (`base.py`), and a module for each translator."""
