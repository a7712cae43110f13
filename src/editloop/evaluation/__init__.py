"""Benchmarks: run editors on held-out cases, measure, aggregate with intervals, and report.

This package edits the cases, resumes interrupted runs, and counts, averages and shows the results.
The measures themselves live in `metrics/` and `judges/`. No number is invented: a case without an
edit lowers the editor's coverage and never enters a mean.
"""
