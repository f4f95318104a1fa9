"""What the codes of a model stand for: who uses them, and which clips and words lie near them."""
