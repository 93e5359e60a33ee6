"""The pods that a resource will produce, predicted and judged before they exist. Pure.

The one seam is `preview.preview`: from a resource's workloads with their postures to findings and Pod Security levels.
"""
