"""From raw media to a feature store: decoding, front ends and encoders."""
