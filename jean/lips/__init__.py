"""The lip prior: how lips move with a sound, for any speaker. Measuring lips, predicting them, and finding the lag."""
