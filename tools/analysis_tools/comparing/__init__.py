"""What the command compare_results.py does."""
