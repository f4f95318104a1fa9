"""Evaluation: heads on frozen codes, protocols, scores, and the result they end in."""
