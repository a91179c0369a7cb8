"""The gate's paperwork, pure: items and their states, which policy applies, what was on the screen, dry
runs.
"""
