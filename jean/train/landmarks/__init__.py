"""Training of the landmark autoencoder (section 3.1, Eq. 1)."""
