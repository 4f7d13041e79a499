"""Face tracks of a video, identities over time, and the choice of the clip's person."""
