"""Statistics: pure functions on numpy arrays, and nothing else.

What other rooms need to judge with: intervals, paired comparisons, resampling, metrics,
corrections for many tests, mergeable counters of a column, drift tests on them, performance
without labels, always-valid sequential tests, fairness from counts, alarm limits from history.

What it is not: no verdicts (they belong to gates and monitors), no files, no database, no clock,
no scipy. Every function returns numbers: an estimate, its standard error, an interval, a p-value.
Import from the modules.
"""
