"""How long a test waits for what must happen, before it fails."""

PATIENCE = 180.0
"""Seconds. On an idle machine nothing takes a tenth of it; a loaded machine with empty caches needs much more."""
