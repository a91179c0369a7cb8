"""Faults that bytes alone prove: pure checks that anyone can run again, and what each fault costs."""
