"""Statistics of people's answers: rankings from votes, means of ratings, agreement of raters.

What may enter: functions of votes and ratings, and their page; no web, no database, no pictures.
"""
