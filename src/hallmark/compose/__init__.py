"""The one place that wires settings into running services."""
