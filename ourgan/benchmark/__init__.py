"""`ourgan evaluate` and `ourgan benchmark`: the paper's Tables 2 to 4 again, and whether fine-tuning helps.

It may import every room below the notebooks and the explorer; nothing but these and the command imports it.
"""
