"""Pure types of Hallmark: no clock, no disk, no network."""
