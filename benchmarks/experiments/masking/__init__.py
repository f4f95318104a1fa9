"""What masking the dimensions of a VQ-VAE's codewords does to its reconstructions (FCID paper, table 3)."""
