"""The machine or task that runs the server: Spot, ECS, warmth, and what child processes see."""
