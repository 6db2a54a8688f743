"""The queries of reflection. They run as the installation's role; what they find is filtered by its capabilities."""

from __future__ import annotations

#: oid, schema, name, kind, the table that a sequence belongs to, comment; $1: schemas.
RELATIONS = """
SELECT c.oid::int8, n.nspname, c.relname,
  CASE c.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'f' THEN 'foreign table'
    WHEN 'S' THEN 'sequence' ELSE 'table' END,
  (SELECT o.relname FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_class o ON o.oid = d.refobjid
   WHERE c.relkind = 'S' AND d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid
     AND d.refclassid = d.classid AND d.deptype IN ('a', 'i') LIMIT 1),
  pg_catalog.obj_description(c.oid, 'pg_class')
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND NOT c.relispartition
  AND n.nspname = ANY ($1::pg_catalog.text[])
"""

RELATION_NAMES = """
SELECT n.nspname, c.relname
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
  AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
"""

#: oid, identity, name, type, not null, default, generated, comment, collation; $1: oids.
COLUMNS = """
SELECT a.attrelid::int8,
  CASE WHEN a.attidentity <> '' THEN (
    SELECT ARRAY[a.attidentity::text, s.seqstart::text, s.seqincrement::text, s.seqmin::text, s.seqmax::text,
      s.seqcache::text, s.seqcycle::text]
    FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_sequence s ON s.seqrelid = d.objid
    WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refclassid = d.classid
      AND d.refobjid = a.attrelid AND d.refobjsubid = a.attnum AND d.deptype = 'i' LIMIT 1) END,
  a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod), a.attnotnull,
  pg_catalog.pg_get_expr(d.adbin, d.adrelid), a.attgenerated <> '',
  pg_catalog.col_description(a.attrelid, a.attnum),
  (SELECT l.collname FROM pg_catalog.pg_collation l JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
   WHERE l.oid = a.attcollation AND a.attcollation <> t.typcollation)
FROM pg_catalog.pg_attribute a
LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = ANY ($1::pg_catalog.oid[]) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attrelid, a.attnum
"""

#: oid, name, kind, columns, definition, referred schema, table and columns, comment; $1: oids.
CONSTRAINTS = """
SELECT c.conrelid::int8, c.conname,
  CASE c.contype WHEN 'p' THEN 'primary key' WHEN 'u' THEN 'unique' WHEN 'f' THEN 'foreign key' WHEN 'c' THEN 'check'
    ELSE 'exclude' END,
  ARRAY(SELECT a.attname::text FROM pg_catalog.unnest(c.conkey) WITH ORDINALITY k(n, o)
        JOIN pg_catalog.pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.n ORDER BY k.o),
  pg_catalog.pg_get_constraintdef(c.oid, true), rn.nspname, r.relname,
  ARRAY(SELECT a.attname::text FROM pg_catalog.unnest(c.confkey) WITH ORDINALITY k(n, o)
        JOIN pg_catalog.pg_attribute a ON a.attrelid = c.confrelid AND a.attnum = k.n ORDER BY k.o),
  pg_catalog.obj_description(c.oid, 'pg_constraint')
FROM pg_catalog.pg_constraint c
LEFT JOIN pg_catalog.pg_class r ON r.oid = c.confrelid AND c.contype = 'f'
LEFT JOIN pg_catalog.pg_namespace rn ON rn.oid = r.relnamespace
WHERE c.conrelid = ANY ($1::pg_catalog.oid[]) AND c.contype IN ('p', 'u', 'f', 'c', 'x')
ORDER BY c.conrelid, c.conname
"""

#: oid, name, unique, primary, columns (null: an expression), expressions, number of keys, method, predicate,
#: constraint, nulls not distinct, options, definition; $1: oids.
INDEXES = """
SELECT i.indrelid::int8, c.relname, i.indisunique, i.indisprimary,
  ARRAY(SELECT a.attname::text FROM pg_catalog.generate_subscripts(i.indkey, 1) k
        LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[k] AND a.attnum > 0
        ORDER BY k),
  ARRAY(SELECT pg_catalog.pg_get_indexdef(i.indexrelid, k + 1, true)
        FROM pg_catalog.generate_subscripts(i.indkey, 1) k ORDER BY k),
  i.indnkeyatts::int4, m.amname, pg_catalog.pg_get_expr(i.indpred, i.indrelid), n.conname,
  (pg_catalog.to_jsonb(i) ->> 'indnullsnotdistinct')::bool,
  ARRAY(SELECT o::int4 FROM pg_catalog.unnest(i.indoption) o), pg_catalog.pg_get_indexdef(i.indexrelid)
FROM pg_catalog.pg_index i
JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
JOIN pg_catalog.pg_am m ON m.oid = c.relam
LEFT JOIN pg_catalog.pg_constraint n ON n.conindid = i.indexrelid AND n.contype IN ('p', 'u', 'x')
WHERE i.indrelid = ANY ($1::pg_catalog.oid[]) ORDER BY i.indrelid, c.relname
"""

#: oid, definition; $1: oids.
VIEWS = """
SELECT c.oid::int8, pg_catalog.pg_get_viewdef(c.oid, true) FROM pg_catalog.pg_class c
WHERE c.oid = ANY ($1::pg_catalog.oid[]) AND c.relkind IN ('v', 'm')
"""

#: Schema, name, labels; $1: a schema whose all are told, $2: oids of tables that use them.
ENUMERATIONS = """
SELECT n.nspname, t.typname,
  ARRAY(SELECT e.enumlabel::text FROM pg_catalog.pg_enum e WHERE e.enumtypid = t.oid ORDER BY e.enumsortorder)
FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
WHERE t.typtype = 'e' AND (n.nspname = $1 OR EXISTS (
    SELECT 1 FROM pg_catalog.pg_attribute a
    WHERE a.attrelid = ANY ($2::pg_catalog.oid[]) AND a.attnum > 0 AND a.atttypid IN (t.oid, t.typarray))) ORDER BY 1, 2
"""

#: Schema, name, type, not null, default, collation, constraints; as above.
DOMAINS = """
SELECT n.nspname, t.typname, pg_catalog.format_type(t.typbasetype, t.typtypmod), t.typnotnull, t.typdefault,
  (SELECT l.collname FROM pg_catalog.pg_collation l JOIN pg_catalog.pg_type b ON b.oid = t.typbasetype
   WHERE l.oid = t.typcollation AND t.typcollation <> b.typcollation),
  (SELECT pg_catalog.array_agg(ARRAY[k.conname::text, pg_catalog.pg_get_constraintdef(k.oid, true)] ORDER BY k.conname)
   FROM pg_catalog.pg_constraint k WHERE k.contypid = t.oid AND k.contype = 'c')
FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
WHERE t.typtype = 'd' AND (n.nspname = $1 OR EXISTS (
    SELECT 1 FROM pg_catalog.pg_attribute a
    WHERE a.attrelid = ANY ($2::pg_catalog.oid[]) AND a.attnum > 0 AND a.atttypid IN (t.oid, t.typarray))) ORDER BY 1, 2
"""
