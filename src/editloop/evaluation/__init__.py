"""Benchmarks: run editors on held-out cases, measure, aggregate with intervals, and report.

What may enter: how cases are asked, resumed, counted, averaged and shown. What is measured lives in
`metrics/` and the judges. Nothing here invents a number: what an editor did not answer lowers its
coverage and never enters a mean.
"""
