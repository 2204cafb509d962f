"""Readers of weights that others published in formats of their own.

They import nothing of the package.
"""
