"""What the throttle asks the servers about their load."""
