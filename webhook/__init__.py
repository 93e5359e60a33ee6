"""vmguard: the admission webhook that makes the VictoriaMetrics operator's pods secure."""

__version__ = "0.1.0"
