"""Real servers for trying Rehome and for its tests: a private object store and a private database.

`python -m sandbox up --db mariadb` keeps them in `.sandbox/`; the tests start instances of their own from the
same classes. Every server lives in one folder, listens on 127.0.0.1 only, and has generated passwords.
"""
