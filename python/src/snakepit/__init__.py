"""Write tools in Python; a snakepit host runs them."""
