"""The settings of a migration, as typed values, and their readers.

May import: mapping, errors. Read settings (the dataclasses), then read (which names the reader of each). A reader turns
an option into its value and adds to a list of findings; read_values, read_buckets, read_database, redirect, prices and
throttle have them; environment adds the environment's variables before. Options, defaults and environment names come
from roles/rehome/meta/argument_specs.yml: environment_names is generated from it.
"""
