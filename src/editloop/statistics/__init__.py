"""Means and bootstrap intervals, over all cases at once or over a stream.

What may enter: functions of plain numbers; no pictures, no files.
"""
