"""The error of this package. Its text is for the person who must act, and never holds key material."""


class CertificateError(ValueError):
    """A certificate, key or name that cannot be used.

    The text says what is wrong, where, what is allowed and what to do next.
    """
