"""Rules about text: which keys and column values are under the map, and what they become. No I/O.

May import: errors. Read keymap (keys), then value_map (column values), then forms (how settings name a value's form)
and spellings (values that name a key in none of them).
percent has percent-encoding, key_shapes the keys that some services refuse, row_key a row's primary key as JSON.
"""
