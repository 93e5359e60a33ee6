"""vmguard: the admission webhook that makes VictoriaMetrics pods secure."""

__version__ = "0.1.0"
