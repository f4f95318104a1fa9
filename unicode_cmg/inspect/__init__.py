"""What is inside a trained model: its codes (who uses which, what each stands for) and its slots."""
