"""The workshop: files, training, measurement and judgement around the probes."""

__version__ = "0.1.0"
