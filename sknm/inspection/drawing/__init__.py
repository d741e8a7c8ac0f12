"""How displays draw: axes, places, lines and bands."""
