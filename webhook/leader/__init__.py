"""The work that only one replica may do: the leader does it, while it leads."""
