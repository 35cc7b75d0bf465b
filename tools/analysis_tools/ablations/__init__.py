"""What the command ablation.py is made of."""
