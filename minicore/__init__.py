"""PatchCore, equation by equation."""

__version__ = "0.1.0"
