"""The version of mmssp, and nothing else: setup.py reads this file."""

__version__ = '0.1.0'
