"""The copier: many objects, inside the service (copy_object, copy_parts) or through this machine (stream_…).

May import `multipart`, `objects` and the rooms below them. Read in this order: run (which takes the jobs), copy_object,
copy_parts; then stream_object, relay and stream_parts with download and memory_budget; reply_batching stands alone.
"""
