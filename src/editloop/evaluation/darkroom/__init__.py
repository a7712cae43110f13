"""The benchmark `darkroom`: held-out edits with a known true result.

Only code that is specific to this benchmark belongs here.
"""
