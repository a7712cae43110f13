"""Benchmarks: run editors on held-out cases, measure, aggregate with intervals, and report.

What may enter: code that edits cases, resumes interrupted runs, and counts, averages and shows the
results. The measures live in `metrics/` and `judges/`. A case without an edit lowers the editor's
coverage and never enters a mean.
"""
