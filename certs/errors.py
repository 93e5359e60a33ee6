"""The error of this package. Its text is for the person who must act, and never contains key material."""


class CertificateError(ValueError):
    """A certificate, key or name that cannot be used.

    The text states what is wrong, where, what is allowed and what to do next.
    """
