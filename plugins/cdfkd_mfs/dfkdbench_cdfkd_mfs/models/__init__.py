"""Students with several heads on one trunk."""
