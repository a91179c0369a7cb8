"""The log: it orders entries, makes them durable, and gets its checkpoints cosigned by full nodes."""
