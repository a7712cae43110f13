"""Runs side by side, where they answer the same question; others are refused.

What may enter: the one call behind `editloop compare`, its pairing, its page and its table.
"""
