"""The explorer's widgets: they show what `explorer.state.session` knows and hand on what a person does."""
