"""Delete objects under a condition (delete), and read what versioning, locks and lifecycle mean for it (versions).

May import `objects` and the rooms below it. Read in this order: versions, delete.
"""
