"""The headers of the frames between the serving process and its dry-run worker, in network byte order."""

import struct

QUESTION = struct.Struct("!I")
"""Bytes of the body that follows."""

ANSWER = struct.Struct("!IH")
"""Bytes of the body that follows, and its HTTP status."""
