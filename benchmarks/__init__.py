"""Measures what the project promises: latency, CPU, memory and word error rate."""
