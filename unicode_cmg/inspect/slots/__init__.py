"""What matched slots attend to: pictures like figure 2 of the SGA paper, of runs with `slot_alignment`."""
