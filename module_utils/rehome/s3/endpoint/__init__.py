"""Where a bucket is and with which credentials, from the settings.

May import transport, config and errors. Read in this order: resolve (from the settings alone, without botocore's
import), botocore (all other cases, and clients for the rare calls).
"""
