"""The node: what its points are to each other, and when each of them was recording."""
