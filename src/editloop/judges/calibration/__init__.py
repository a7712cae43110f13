"""Calibration of judges: comparing a judge's verdicts with recorded truth and with people.

`edits` and `pairs` draw the cases, and `asking` asks each question once and caches the verdict.
`against_truth`, `sanity`, `stability`, `preferences` and `people` each compute one set of results.
"""
