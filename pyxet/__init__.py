"""pyxet: the async-native Python client for Xet storage."""

from pyxet._version import __version__

__all__ = ["__version__"]
