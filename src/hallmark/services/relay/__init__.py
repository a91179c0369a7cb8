"""A relay: passes sealed capsules on, so that nobody sees both who asks and what is asked."""
