"""Functions of PostgreSQL that plugins may call: those that compute from their arguments alone.

Not here, and so refused: what runs SQL given as text (query_to_xml, ts_stat, ts_rewrite, dblink), reads or writes files
(pg_read_file, lo_import, lo_export) or large objects, changes or tells settings (set_config, current_setting), tells of
the server, its roles or its schema (pg_*, has_*_privilege, to_reg*, current_database), acts beyond the transaction
(pg_notify, advisory locks, pg_terminate_backend), or takes a table's row type (json_populate_record).
https://www.postgresql.org/docs/current/functions.html
"""

from __future__ import annotations

_NUMBERS = """
    abs acos acosd acosh asin asind asinh atan atan2 atan2d atand atanh cbrt ceil ceiling cos cosd cosh cot cotd degrees
    div erf erfc exp factorial floor gcd greatest lcm least ln log log10 min_scale mod pi power radians random
    random_normal round scale sign sin sind sinh sqrt tan tand tanh trim_scale trunc width_bucket
    get_bit get_byte set_bit set_byte bit_count to_hex to_bin to_oct
    numeric_inc float8 int4 int8 int2 numeric text
"""
_TEXTS = """
    ascii bit_length btrim casefold char_length character_length chr concat concat_ws convert_from convert_to decode
    encode format initcap is_normalized left length like like_escape lower lpad ltrim md5 normalize notlike octet_length
    overlay position quote_ident quote_literal quote_nullable regexp_count regexp_instr regexp_like regexp_match
    regexp_matches regexp_replace regexp_split_to_array regexp_split_to_table regexp_substr repeat replace reverse right
    rpad rtrim sha224 sha256 sha384 sha512 similar_escape similar_to_escape split_part starts_with string_to_array
    string_to_table strpos substr substring to_ascii to_char to_number translate trim unicode_version unistr upper
    array_to_string crc32 crc32c
"""
_TIMES = """
    age clock_timestamp date date_add date_bin date_part date_subtract date_trunc extract isfinite justify_days
    justify_hours justify_interval localtime localtimestamp make_date make_interval make_time make_timestamp
    make_timestamptz now overlaps statement_timestamp timeofday timezone to_date to_timestamp transaction_timestamp
    pg_sleep pg_sleep_for pg_sleep_until
"""
_ARRAYS_AND_RANGES = """
    array_append array_cat array_dims array_fill array_length array_lower array_ndims array_position array_positions
    array_prepend array_remove array_replace array_reverse array_sample array_shuffle array_sort array_upper cardinality
    generate_series generate_subscripts trim_array unnest
    daterange int4range int8range numrange tsrange tstzrange datemultirange int4multirange int8multirange nummultirange
    tsmultirange tstzmultirange isempty lower_inc lower_inf multirange range_merge upper_inc upper_inf
    num_nonnulls num_nulls
"""
_JSON = """
    array_to_json json_array_elements json_array_elements_text json_array_length json_build_array json_build_object
    json_each json_each_text json_extract_path json_extract_path_text json_object json_object_keys json_strip_nulls
    json_to_record json_to_recordset json_typeof jsonb_array_elements jsonb_array_elements_text jsonb_array_length
    jsonb_build_array jsonb_build_object jsonb_each jsonb_each_text jsonb_extract_path jsonb_extract_path_text
    jsonb_insert jsonb_object jsonb_object_keys jsonb_path_exists jsonb_path_exists_tz jsonb_path_match
    jsonb_path_match_tz jsonb_path_query jsonb_path_query_array jsonb_path_query_array_tz jsonb_path_query_first
    jsonb_path_query_first_tz jsonb_path_query_tz jsonb_pretty jsonb_set jsonb_set_lax jsonb_strip_nulls
    jsonb_to_record jsonb_to_recordset jsonb_typeof row_to_json to_json to_jsonb
"""
_AGGREGATES_AND_WINDOWS = """
    any_value array_agg avg bit_and bit_or bit_xor bool_and bool_or corr count covar_pop covar_samp every json_agg
    json_object_agg json_object_agg_strict json_object_agg_unique json_object_agg_unique_strict json_agg_strict
    jsonb_agg jsonb_agg_strict jsonb_object_agg jsonb_object_agg_strict jsonb_object_agg_unique
    jsonb_object_agg_unique_strict max min mode percentile_cont percentile_disc range_agg range_intersect_agg
    regr_avgx regr_avgy regr_count regr_intercept regr_r2 regr_slope regr_sxx regr_sxy regr_syy stddev stddev_pop
    stddev_samp string_agg sum var_pop var_samp variance
    cume_dist dense_rank first_value lag last_value lead nth_value ntile percent_rank rank row_number
"""
_FULL_TEXT = """
    array_to_tsvector json_to_tsvector jsonb_to_tsvector numnode phraseto_tsquery plainto_tsquery querytree setweight
    strip to_tsquery to_tsvector ts_delete ts_filter ts_headline ts_rank ts_rank_cd tsquery_phrase tsvector_to_array
    websearch_to_tsquery
"""
_OTHERS = """
    abbrev area box broadcast center circle coalesce current_schema diagonal diameter family gen_random_uuid height host
    hostmask inet_merge inet_same_family isclosed isopen line lseg macaddr8_set7bit masklen netmask network nullif
    npoints path pclose point polygon popen radius set_masklen slope uuid_extract_timestamp uuid_extract_version uuidv4
    uuidv7 version width pg_collation_for pg_typeof row
"""

FUNCTIONS = frozenset(
    name
    for group in (
        _NUMBERS,
        _TEXTS,
        _TIMES,
        _ARRAYS_AND_RANGES,
        _JSON,
        _AGGREGATES_AND_WINDOWS,
        _FULL_TEXT,
        _OTHERS,
    )
    for name in group.split()
)

#: They name a sequence by their first argument: what that takes is decided by the sequence.
SEQUENCE_FUNCTIONS = {"nextval": "sql.write", "setval": "sql.write", "currval": "sql.read"}

#: In a FROM clause: the columns of those whose results have names of their own. All others have one, of their own name
#: or the alias's; unnest of rows has their fields.
TABLE_COLUMNS = {
    "json_array_elements": ("value",),
    "json_array_elements_text": ("value",),
    "json_each": ("key", "value"),
    "json_each_text": ("key", "value"),
    "jsonb_array_elements": ("value",),
    "jsonb_array_elements_text": ("value",),
    "jsonb_each": ("key", "value"),
    "jsonb_each_text": ("key", "value"),
}

#: Their columns are given in the statement.
RECORD_FUNCTIONS = frozenset({"json_to_record", "json_to_recordset", "jsonb_to_record", "jsonb_to_recordset"})

_TYPES = """
    bit bool boolean box bpchar bytea char cidr circle date datemultirange daterange float4 float8 inet int2 int4
    int4multirange int4range int8 int8multirange int8range interval json jsonb jsonpath line lseg macaddr macaddr8 money
    name numeric nummultirange numrange oid path point polygon regconfig text time timestamp timestamptz timetz
    tsmultirange tsquery tsrange tstzmultirange tstzrange tsvector uuid varbit varchar xml
    smallint integer int bigint decimal real float serial serial2 serial4 serial8 bigserial smallserial
"""

#: Without those that name tables, roles and functions (regclass, regrole...), whose conversion tells what there is.
TYPES = frozenset(_TYPES.split())
