"""The explorer's panels: they show what `explorer.state` knows and hand on what a person does.

They may import `explorer.state`, `explorer.deep_zoom` and the rooms below `explorer`, never `reproduce`.
"""
