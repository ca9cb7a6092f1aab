"""What `migrate` and `retire` need to be allowed, and no more: policies and database rights, from the settings."""
