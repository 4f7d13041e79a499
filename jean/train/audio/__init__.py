"""Training of the audio encoder against the landmark autoencoder (section 3.1, Eq. 2)."""
