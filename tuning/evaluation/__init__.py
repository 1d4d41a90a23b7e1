"""From predictions of the test split to the comparison: numbers, no text."""
