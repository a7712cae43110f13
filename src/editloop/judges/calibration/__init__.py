"""Calibration of judges: a judge's verdicts compared with recorded truth and with people.

What may enter: code that draws cases, asks a judge and analyses its verdicts. `edits` and `pairs`
draw the cases, and `asking` asks each question once and caches the verdict. `against_truth`,
`sanity`, `stability`, `preferences` and `people` each compute one set of results.
"""
