"""The explorer's widgets: they show what `ourgan.explorer.state` knows and hand on what a person does."""
