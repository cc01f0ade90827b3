"""Further commands; the parts and benchmarks/accuracy.py import report.py."""
