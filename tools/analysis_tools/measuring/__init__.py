"""What the commands measure_*.py, profile_kernels.py and time_large_vit.py do."""
