"""Published weights and data sets by name: first on this machine, downloaded only on request.

What may enter: code that finds, identifies or downloads them; code that uses them lives elsewhere.
"""
