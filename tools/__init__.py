"""Commands beside the story; the parts and benchmarks/accuracy.py import report.py."""
