"""A faster LSTM for JAX, equal to Keras's."""
