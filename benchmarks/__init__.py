"""Measures the targets of the project: latency, CPU, memory and word error rate."""
