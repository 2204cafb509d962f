"""A sample of step 1 redrawn from the photo's own pixels: patches found, voted, and carried to any size.

Pure functions on uint8 and integer arrays, exact on any number of threads; imports nothing but `_core`.
"""
