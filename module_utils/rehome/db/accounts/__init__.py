"""Database users: what they may do, as it is and as it shall be."""
