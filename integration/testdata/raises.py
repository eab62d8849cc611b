"""An adapter that can't be imported."""

raise RuntimeError("the model isn't there")
