"""The benchmark `darkroom`: held-out edits with a known true result.

What may enter: code that is specific to this benchmark.
"""
