"""Small studies of every kind of model and data, each with its test metric computed by hand."""
