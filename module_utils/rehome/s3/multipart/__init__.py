"""Multipart uploads: parts (layout and replies), record (of open uploads), abort, and upload (which uses the others).

May import `objects` and the rooms below it. Read in this order: parts, record, abort, upload.
"""
