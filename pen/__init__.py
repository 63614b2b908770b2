"""The pen suite's load balancer."""
