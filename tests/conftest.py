"""Beside this file lie helpers that tests in every room's folder may import."""
