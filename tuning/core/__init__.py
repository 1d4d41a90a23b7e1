"""Facts and contracts that every other package shares; it imports none of them."""
