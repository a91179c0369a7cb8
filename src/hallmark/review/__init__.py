"""Items of the review queue and the gate that decides about them. Pure: no clock, no disk, no network."""
