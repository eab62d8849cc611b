"""Shopping baskets that outlive the worker, and the host, that they were filled on."""

from snakepit import Adapter, Context, tool


class Baskets(Adapter):
    """A basket for each session."""

    @tool
    def add(self, ctx: Context, item: str) -> list[str]:
        """Add an item to the session's basket, and give all of it."""
        if ctx.session is None:
            raise ValueError("a basket belongs to a session: name one")
        state = ctx.session.state  # kept by all nodes; a write returns when a majority has it
        items = [*state.get("items", []), item]
        state["items"] = items
        return items
