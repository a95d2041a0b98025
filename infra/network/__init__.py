"""Networks: one of the environment's own, or that of a shared load balancer.

Nothing here needs a NAT gateway. Tasks run in public subnets, reach AWS from an address of their
own, and have a security group that admits the load balancer only.
"""
