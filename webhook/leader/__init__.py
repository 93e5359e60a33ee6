"""What must happen once among all replicas: done by the leader, while it leads."""
