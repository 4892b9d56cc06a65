"""What lies in Redis between a host and a worker."""
