"""Delivery: the roles that pipelines take, and the repository of images."""
