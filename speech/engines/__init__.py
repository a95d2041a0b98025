"""Recognition engines: one port (`base`), one module per engine."""
