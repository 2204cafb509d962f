"""Numbers about pictures: SIFID, LPIPS and what stands in for them offline, layout and variety.

Each metric of `ourgan evaluate` and `ourgan benchmark` is a line of `registry.METRICS`. This room may import
`weights`, `io`, `models` and `_core`, and knows of no training and no pipeline.
"""
