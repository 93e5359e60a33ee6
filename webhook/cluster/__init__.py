"""What Kubernetes knows: the connection to the API server, and facts read through it. Decides nothing."""
