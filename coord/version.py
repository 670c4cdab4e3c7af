"""The version, where everybody may ask for it: a module that imports nothing."""

__version__ = "0.1.0"
