"""What happens to damaged and hostile files, to killed writers, and on a full disk: tried and counted."""
