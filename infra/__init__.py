"""What the CDK provisions: typed environments, one construct per capability, stacks, cost."""
