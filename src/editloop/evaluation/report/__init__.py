"""The report of a run: one self-contained HTML page in which all texts are escaped.

What may enter: readers of a run folder, and the views that the page's templates show.
"""
