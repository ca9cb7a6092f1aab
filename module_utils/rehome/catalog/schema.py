"""TODO-DOC."""

from __future__ import annotations

SCHEMA = """
CREATE TABLE facts (name VARCHAR PRIMARY KEY, value VARCHAR NOT NULL);
CREATE TABLE source_objects (
    rest VARCHAR, size BIGINT, etag VARCHAR, last_modified VARCHAR, storage_class VARCHAR, restore VARCHAR,
    tier VARCHAR, unroutable VARCHAR);
CREATE TABLE looked_up (
    rest VARCHAR, size BIGINT, etag VARCHAR, last_modified VARCHAR, storage_class VARCHAR, restore VARCHAR,
    tier VARCHAR, unroutable VARCHAR, is_there BOOLEAN);
CREATE TABLE target_objects (rest VARCHAR, size BIGINT, etag VARCHAR);
CREATE TABLE compared (rest VARCHAR, evidence VARCHAR);
CREATE TABLE own_copies (rest VARCHAR);
CREATE TABLE reference_rows (
    reference VARCHAR, ordinal BIGINT, key VARCHAR, value VARCHAR, rest VARCHAR, is_old BOOLEAN, overflows BOOLEAN);
CREATE TABLE other_forms (reference VARCHAR, form VARCHAR, rows BIGINT);
CREATE TABLE outcomes (
    rest VARCHAR, size BIGINT, etag VARCHAR, result VARCHAR, target_etag VARCHAR, evidence VARCHAR, attempts INTEGER,
    error VARCHAR, message VARCHAR, duration_s DOUBLE, part INTEGER);
CREATE TABLE differing (rest VARCHAR, etag VARCHAR, target_etag VARCHAR);
CREATE TABLE restores (rest VARCHAR, restore VARCHAR);
CREATE TABLE unrestored (rest VARCHAR, error VARCHAR, message VARCHAR);
CREATE TABLE changed_rows (reference VARCHAR, key VARCHAR, expected VARCHAR);
CREATE TABLE refused_rows (reference VARCHAR, key VARCHAR, value VARCHAR, new_value VARCHAR, message VARCHAR);
CREATE TABLE rewritten_rows (
    entry BIGINT, reference VARCHAR, key VARCHAR, old_value VARCHAR, new_value VARCHAR, rest VARCHAR, meant BOOLEAN);
CREATE TABLE undone_rows (entry BIGINT, key VARCHAR);
CREATE TABLE rows_changed_since (reference VARCHAR, key VARCHAR, value VARCHAR, new_value VARCHAR, old_value VARCHAR);
CREATE TABLE rows_kept (reference VARCHAR, key VARCHAR, value VARCHAR, old_value VARCHAR, reason VARCHAR);
CREATE TABLE rows_wrong (
    reference VARCHAR, key VARCHAR, value VARCHAR, new_value VARCHAR, old_value VARCHAR, reason VARCHAR);
CREATE TABLE rows_gone (reference VARCHAR, key VARCHAR, new_value VARCHAR, old_value VARCHAR);
"""
"""compared.evidence is NULL where the contents differ; own_copies are target objects that an earlier pass or run made
and nobody has touched since; reference_rows.key is the row's key as a JSON list; other_forms counts rows that are not
under the map, and would be in another form; rows of outcomes with one `part` go into one file; rewritten_rows and
undone_rows are the journal's, by the id of its entry."""
