"""Networks: one of our own, or that of a shared load balancer."""
