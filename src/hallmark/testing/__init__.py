"""Fakes and tiny parts for tests; nothing in here runs in production."""
