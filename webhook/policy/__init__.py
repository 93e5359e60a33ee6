"""What a pod of each component must look like.

Pure: no I/O, no clock, no globals; the same input gives the same bytes.
"""
