"""The CDK's stacks in the emulator."""
