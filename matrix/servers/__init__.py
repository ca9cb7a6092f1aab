"""The servers of the matrix. `DATABASES` and `STORES` have each by the name that pytest's options take."""
