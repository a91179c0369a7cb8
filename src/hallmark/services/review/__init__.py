"""The review desk: items, decisions, reviews, policies, webhooks."""
