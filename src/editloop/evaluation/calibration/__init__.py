"""How far a judge can be trusted: against truth, sanity, itself and people.

What may enter: the one call behind `editloop calibrate`, its numbers, its page and its table.
"""
