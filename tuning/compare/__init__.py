"""What the record says: evaluation on the test split, statistics, figures, the report."""
