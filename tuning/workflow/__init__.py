"""What one study does, from start to end."""
