"""The serving certificate from the files of a directory, which cert-manager, the kubelet or a person replaces.

It reads the files every 10 seconds, because file events miss some replacements. It does not use a pair that is
incomplete or not valid.
"""

import asyncio
from datetime import datetime

from certs import CertificateError, DirectoryStore, Leaf

EVERY = 10.0
"""Seconds between two readings of the files."""


class CertificateFiles:
    """The pair of a directory."""

    what = "files"
    pause = EVERY
    trouble = ""
    notice = ""

    def __init__(self, store: DirectoryStore) -> None:
        """Read the directory.

        Raises:
            CertificateError: there is no usable pair. An expired one is usable.

        """
        self._store = store
        self._contents = store.contents()
        self.first: Leaf | None = self._contents.leaf()

    @property
    def place(self) -> str:
        """The file of the certificate."""
        return self._contents.chain.where

    async def read(self, shown: Leaf | None, now: datetime) -> Leaf | None:
        """The pair of the directory.

        Raises:
            CertificateError: it cannot be read, or it is not valid now and the current one is.

        """
        contents = await asyncio.to_thread(self._store.contents)
        if contents == self._contents:
            return shown
        leaf = contents.leaf()
        if leaf == shown:
            self._contents = contents  # only now, because vmguard never shows a pair that OpenSSL refuses
            return shown
        both_expired = shown is not None and now > leaf.not_after >= shown.not_after
        if not both_expired and (fault := leaf.untimely(now=now)):
            raise CertificateError(f"{contents.chain.where}: {fault}. Put a certificate there that is valid now.")
        return leaf
