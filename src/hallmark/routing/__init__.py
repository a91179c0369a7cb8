"""Routing: who may serve (by evidence), who is asked (by load), and the signed ticket that says so."""
