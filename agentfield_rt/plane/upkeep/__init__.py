"""What the plane does by itself: evidence, expiry, and ending what a dead process left."""
