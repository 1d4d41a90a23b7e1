"""A faster LSTM for JAX that computes the same function as the LSTM of Keras."""
