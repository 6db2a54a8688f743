"""SQL functions of SQLite that plugins may call: those that compute from their arguments alone.

Not here: what grows in memory with the number of rows and without any bound (json_group_array, percentile), or with the
product of its arguments' lengths (json_pretty); what reads or writes files (load_extension, readfile, writefile, edit),
reaches into memory (fts3_tokenizer), or tells of the machine (sqlite_compileoption_get).
https://www.sqlite.org/lang_corefunc.html and its neighbours.
"""

from __future__ import annotations

_CORE = """
    abs changes char coalesce concat concat_ws format glob hex if ifnull iif instr last_insert_rowid length like
    likelihood likely lower ltrim max min nullif octet_length printf quote random randomblob replace round rtrim sign
    soundex sqlite_version substr substring subtype total_changes trim typeof unhex unicode unistr unistr_quote
    unlikely upper zeroblob
"""
_DATES = """
    current_date current_time current_timestamp date datetime julianday strftime time timediff unixepoch
"""
_AGGREGATES_AND_WINDOWS = """
    avg count group_concat string_agg sum total
    cume_dist dense_rank first_value lag last_value lead nth_value ntile percent_rank rank row_number
"""
_MATHEMATICS = """
    acos acosh asin asinh atan atan2 atanh ceil ceiling cos cosh degrees exp floor ln log log10 log2 mod pi pow power
    radians sin sinh sqrt tan tanh trunc
"""
_JSON = """
    -> ->> json json_array json_array_length json_error_position json_extract json_insert json_object json_patch
    json_quote json_remove json_replace json_set json_type json_valid
    jsonb jsonb_array jsonb_extract jsonb_insert jsonb_object jsonb_patch jsonb_remove jsonb_replace jsonb_set
"""
_FULL_TEXT = """
    bm25 highlight match snippet
"""

FUNCTIONS = frozenset(
    name
    for group in (_CORE, _DATES, _AGGREGATES_AND_WINDOWS, _MATHEMATICS, _JSON, _FULL_TEXT)
    for name in group.split()
)
