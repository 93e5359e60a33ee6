"""What follows from the tables: Kubernetes objects that are generated and never written by hand.

Pure: the same tables and arguments give the same objects. Nothing here talks to a cluster.
"""
