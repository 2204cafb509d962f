"""Deep zoom: a picture of any size in a notebook, whether it is a file or exists as a seed alone.

It may import `explorer.state` and the rooms below `explorer`; the panels import it, never the reverse.
"""
