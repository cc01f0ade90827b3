"""Further commands; the parts and benchmarks import report.py."""
