"""What every room needs: errors, whole files, strict configuration, devices, caches, records.

It imports no other room of the package.
"""
