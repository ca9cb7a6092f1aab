"""The Ansible collection rehome.rehome: how it is built from this checkout, and Ansible's own checks of it.

`galaxy.yml`, `README.md` and `meta/` are shipped as they are. Read `build.py` first, then `sanity.py`.
"""
