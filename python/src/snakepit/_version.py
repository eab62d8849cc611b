"""The SDK's version, as in pyproject.toml; a test compares them."""

__version__ = "0.1.0"
