package lineage

import "github.com/sallyport/sallyport/bastion"

// pure names functions and aggregates of pg_catalog that read nothing but their
// arguments, the catalog's structure, the clock or a random source, and change
// nothing. Every overload of each name is meant. What is not here is not pure: a
// new version of PostgreSQL brings functions that nobody has looked at yet.
//
// Left out on purpose, though PostgreSQL calls them stable: query_to_xml and its
// kin (they run any query), current_setting (can carry values; see settings),
// pg_stat_get_activity and its kin (show other people's statements),
// txid_current (writes), ts_stat and ts_rewrite (run a query).
var pure = set(`
abbrev abs acldefault aclexplode aclitemeq makeaclitem acos acosd acosh age any_value area array_agg array_append array_cat array_dims array_fill array_length
array_lower array_ndims array_position array_positions array_prepend array_remove array_replace array_reverse array_sample
array_shuffle array_sort array_to_json array_to_string array_to_tsvector array_upper ascii asin asind asinh atan atan2 atan2d
atand atanh avg bit bit_and bit_count bit_length bit_or bit_xor bool bool_and bool_or bound_box box bpchar broadcast btrim
cardinality casefold cash_words cbrt ceil ceiling center char char_length character_length chr cidr circle clock_timestamp
col_description concat concat_ws convert convert_from convert_to corr cos cosd cosh cot cotd count covar_pop covar_samp crc32
crc32c cume_dist current_catalog current_database current_query current_role current_schema current_schemas current_user date
date_add date_bin date_part date_subtract date_trunc datemultirange daterange decode degrees dense_rank diagonal diameter div
encode enum_first enum_last enum_range erf erfc every exp extract factorial family first_value float4 float8 floor format
format_type gamma gcd gen_random_uuid generate_series generate_subscripts get_bit get_byte get_current_ts_config
getdatabaseencoding has_any_column_privilege has_column_privilege has_database_privilege has_foreign_data_wrapper_privilege
has_function_privilege has_language_privilege has_parameter_privilege has_schema_privilege has_sequence_privilege
has_server_privilege has_table_privilege has_tablespace_privilege has_type_privilege hashbpchar hashchar hashfloat8 hashint2
hashint4 hashint8 hash_numeric hashoid hashtext hashtextextended height host hostmask icu_unicode_version
inet_client_addr inet_client_port inet_merge inet_same_family inet_server_addr inet_server_port initcap int2 int4
int4multirange int4range int8 int8multirange int8range interval is_normalized isclosed isempty isfinite isopen json_agg
json_agg_strict json_array json_array_elements json_array_elements_text json_array_length json_arrayagg json_build_array
json_build_object json_each json_each_text json_exists json_extract_path json_extract_path_text json_object json_object_agg
json_object_agg_strict json_object_agg_unique json_object_agg_unique_strict json_object_keys json_objectagg
json_populate_record json_populate_recordset json_query json_scalar json_serialize json_strip_nulls json_to_record
json_to_recordset json_to_tsvector json_typeof json_value jsonb_agg jsonb_agg_strict jsonb_array_elements
jsonb_array_elements_text jsonb_array_length jsonb_build_array jsonb_build_object jsonb_each jsonb_each_text
jsonb_extract_path jsonb_extract_path_text jsonb_insert jsonb_object jsonb_object_agg jsonb_object_agg_strict
jsonb_object_agg_unique jsonb_object_agg_unique_strict jsonb_object_keys jsonb_path_exists jsonb_path_exists_tz
jsonb_path_match jsonb_path_match_tz jsonb_path_query jsonb_path_query_array jsonb_path_query_array_tz
jsonb_path_query_first jsonb_path_query_first_tz jsonb_path_query_tz jsonb_populate_record jsonb_populate_recordset
jsonb_pretty jsonb_set jsonb_set_lax jsonb_strip_nulls jsonb_to_record jsonb_to_recordset jsonb_to_tsvector jsonb_typeof
justify_days justify_hours justify_interval lag last_value lcm lead left length lgamma like_escape line ln localtime
localtimestamp log log10 lower lower_inc lower_inf lpad lseg ltrim macaddr macaddr8 macaddr8_set7bit make_date make_interval
make_time make_timestamp make_timestamptz masklen max md5 min min_scale mod mode multirange name netmask network normalize now
npoints nth_value ntile num_nonnulls num_nulls numeric numnode nummultirange numrange obj_description octet_length oid
overlaps overlay parse_ident path pclose percent_rank percentile_cont percentile_disc
pg_available_extension_versions pg_available_extensions pg_backend_pid pg_basetype pg_char_to_encoding pg_client_encoding
pg_collation_for pg_collation_is_visible pg_column_compression pg_column_is_updatable pg_column_size pg_conversion_is_visible
pg_current_snapshot pg_current_wal_lsn pg_current_xact_id_if_assigned pg_database_size pg_describe_object
pg_encoding_max_length pg_encoding_to_char pg_function_is_visible pg_get_catalog_foreign_keys pg_get_constraintdef
pg_get_expr pg_get_function_arg_default pg_get_function_arguments pg_get_function_identity_arguments
pg_get_function_result pg_get_function_sqlbody pg_get_functiondef pg_get_indexdef pg_get_keywords
pg_get_partition_constraintdef pg_get_partkeydef pg_get_replica_identity_index pg_get_ruledef pg_get_serial_sequence
pg_get_statisticsobjdef pg_get_statisticsobjdef_columns pg_get_statisticsobjdef_expressions pg_get_triggerdef
pg_get_userbyid pg_get_viewdef pg_has_role pg_index_column_has_property pg_index_has_property
pg_indexam_has_property pg_indexes_size pg_input_error_info pg_input_is_valid pg_is_in_recovery pg_is_other_temp_schema
pg_last_wal_receive_lsn pg_last_wal_replay_lsn pg_last_xact_replay_timestamp pg_lsn pg_my_temp_schema
pg_opclass_is_visible pg_operator_is_visible pg_opfamily_is_visible pg_partition_ancestors pg_partition_root
pg_partition_tree pg_postmaster_start_time pg_relation_filenode pg_relation_is_publishable pg_relation_is_updatable
pg_relation_size pg_size_bytes pg_size_pretty pg_statistics_obj_is_visible pg_table_is_visible pg_table_size
pg_tablespace_size pg_timezone_names pg_total_relation_size pg_trigger_depth pg_ts_config_is_visible
pg_ts_dict_is_visible pg_ts_parser_is_visible pg_ts_template_is_visible pg_type_is_visible pg_typeof pg_wal_lsn_diff
phraseto_tsquery pi plainto_tsquery point polygon popen position pow power querytree quote_ident quote_literal
quote_nullable radians radius random random_normal range_agg range_intersect_agg range_merge rank regclass regexp_count
regexp_instr regexp_like regexp_match regexp_matches regexp_replace regexp_split_to_array regexp_split_to_table regexp_substr
regr_avgx regr_avgy regr_count regr_intercept regr_r2 regr_slope regr_sxx regr_sxy regr_syy repeat replace reverse right round
row_number row_security_active row_to_json rpad rtrim scale session_user set_bit set_byte set_masklen setweight sha224
sha256 sha384 sha512 shobj_description sign sin sind sinh slope split_part sqrt starts_with statement_timestamp stddev
stddev_pop stddev_samp string_agg string_to_array string_to_table strip strpos substr substring sum system_user tan tand
tanh text time timeofday timestamp timestamptz timetz timezone to_ascii to_bin to_char to_date to_hex to_json to_jsonb
to_number to_oct to_regclass to_regcollation to_regnamespace to_regoper to_regoperator to_regproc to_regprocedure
to_regrole to_regtype to_regtypemod to_timestamp to_tsquery to_tsvector transaction_timestamp translate trim_array trim_scale
trunc ts_debug ts_delete ts_filter ts_headline ts_lexize ts_parse ts_rank ts_rank_cd ts_token_type tsmultirange tsquery_phrase
tsrange tstzmultirange tstzrange tsvector_to_array txid_current_if_assigned txid_current_snapshot unicode_assigned
unicode_version unistr unnest upper upper_inc upper_inf user uuid_extract_timestamp uuid_extract_version uuidv4 uuidv7
var_pop var_samp varbit varchar variance version websearch_to_tsquery width width_bucket xml xml_is_well_formed
xml_is_well_formed_content xml_is_well_formed_document xmlagg xmlcomment xmlconcat xmlelement xmlexists xmlforest xmlparse
xmlpi xmlroot xmlserialize xmltext xmlvalidate xpath xpath_exists
pg_tablespace_location pg_tablespace_databases pg_conf_load_time pg_relation_filepath pg_options_to_table
pg_identify_object pg_identify_object_as_address
pg_get_object_address pg_filenode_relation pg_sequence_parameters pg_get_publication_tables
pg_stat_get_live_tuples pg_stat_get_dead_tuples pg_stat_get_numscans pg_stat_get_tuples_inserted pg_stat_get_tuples_updated
pg_stat_get_tuples_deleted pg_stat_get_tuples_returned pg_stat_get_tuples_fetched pg_stat_get_blocks_fetched pg_stat_get_blocks_hit
pg_stat_get_last_vacuum_time pg_stat_get_last_autovacuum_time pg_stat_get_last_analyze_time pg_stat_get_last_autoanalyze_time
pg_stat_get_vacuum_count pg_stat_get_autovacuum_count pg_stat_get_analyze_count pg_stat_get_autoanalyze_count
pg_stat_get_mod_since_analyze pg_stat_get_db_numbackends pg_stat_get_snapshot_timestamp`)

// keeping names functions whose result is one of their arguments' values, as it is, and
// which do not choose it by what it is: a part of the least value, or a token that is
// equal for equal values, would tell whose it is.
var keeping = set(`any_value first_value last_value lag lead nth_value`)

// special gives functions of pg_catalog a verb of their own.
var special = func() map[string]bastion.Verb {
	m := map[string]bastion.Verb{}
	add := func(v bastion.Verb, names string) {
		for n := range set(names) {
			m[n] = v
		}
	}
	add(ServerFile, `pg_read_file pg_read_binary_file pg_read_file_old pg_ls_dir pg_ls_logdir pg_ls_waldir pg_ls_tmpdir
		pg_ls_archive_statusdir pg_ls_logicalmapdir pg_ls_logicalsnapdir pg_ls_replslotdir pg_ls_summariesdir pg_stat_file
		pg_current_logfile pg_hba_file_rules pg_ident_file_mappings pg_show_all_file_settings pg_rotate_logfile lo_import lo_export`)
	add(LargeObject, `lo_close lo_creat lo_create lo_from_bytea lo_get lo_lseek lo_lseek64 lo_open lo_put lo_tell lo_tell64
		lo_truncate lo_truncate64 lo_unlink loread lowrite`)
	add(Lock, `pg_advisory_lock pg_advisory_lock_shared pg_advisory_unlock pg_advisory_unlock_all pg_advisory_unlock_shared
		pg_advisory_xact_lock pg_advisory_xact_lock_shared pg_try_advisory_lock pg_try_advisory_lock_shared
		pg_try_advisory_xact_lock pg_try_advisory_xact_lock_shared`)
	add(Listen, `pg_notify pg_listening_channels`)
	add(SettingMeaning, `set_config`)
	// What they run is a text that nobody has read: its effects (a lock's number, a
	// setting, an error) would tell what its answer, which is hidden, does not.
	add(Do, `query_to_xml query_to_xmlschema query_to_xml_and_xmlschema cursor_to_xml cursor_to_xmlschema ts_stat ts_rewrite`)
	return m
}()

// structure names relations of pg_catalog and information_schema that tell how
// the database is built and hold no values of its tables.
var structure = func() map[string]bool {
	m := map[string]bool{}
	for n := range set(`pg_aggregate pg_am pg_amop pg_amproc pg_attrdef pg_attribute pg_auth_members
		pg_available_extension_versions pg_available_extensions pg_cast pg_class pg_collation pg_constraint pg_conversion
		pg_database pg_db_role_setting pg_default_acl pg_depend pg_description pg_enum pg_event_trigger pg_extension pg_foreign_data_wrapper
		pg_group pg_index pg_indexes pg_inherits pg_init_privs pg_language pg_largeobject_metadata pg_matviews pg_namespace pg_opclass pg_operator
		pg_opfamily pg_parameter_acl pg_partitioned_table pg_policies pg_policy pg_proc pg_publication pg_publication_namespace
		pg_publication_rel pg_publication_tables pg_range pg_replication_origin pg_rewrite pg_roles pg_rules pg_seclabel pg_seclabels pg_sequence
		pg_settings pg_shdepend pg_shdescription pg_shseclabel pg_statistic_ext pg_tables pg_tablespace pg_timezone_abbrevs
		pg_timezone_names pg_transform pg_trigger pg_ts_config pg_ts_config_map pg_ts_dict pg_ts_parser pg_ts_template
		pg_type pg_user pg_views`) {
		m["pg_catalog."+n] = true
	}
	for n := range set(`administrable_role_authorizations applicable_roles attributes character_sets
		check_constraint_routine_usage check_constraints collation_character_set_applicability collations column_column_usage
		column_domain_usage column_privileges column_udt_usage columns constraint_column_usage constraint_table_usage
		data_type_privileges domain_constraints domain_udt_usage domains element_types enabled_roles
		information_schema_catalog_name key_column_usage parameters referential_constraints role_column_grants
		role_routine_grants role_table_grants role_udt_grants role_usage_grants routine_privileges routines schemata
		sequences sql_features sql_implementation_info sql_parts sql_sizing table_constraints table_privileges tables
		triggered_update_columns triggers udt_privileges usage_privileges user_defined_types view_column_usage
		view_routine_usage view_table_usage views foreign_data_wrappers foreign_servers foreign_tables user_mappings
		routine_column_usage routine_routine_usage routine_sequence_usage routine_table_usage transforms`) {
		m["information_schema."+n] = true
	}
	// Of these, the columns in guarded are not meant.
	for n := range guarded {
		m[n] = true
	}
	delete(m, "pg_catalog.pg_stat_activity")
	return m
}()

// guarded names columns of relations that hold no values of tables otherwise: texts of
// statements, and options that can be passwords.
var guarded = map[string]string{
	"pg_catalog.pg_stat_activity":  "query",
	"pg_catalog.pg_foreign_server": "srvoptions",
	"pg_catalog.pg_foreign_table":  "ftoptions",
	"pg_catalog.pg_user_mapping":   "umoptions",
	"pg_catalog.pg_user_mappings":  "umoptions",
	"pg_catalog.pg_subscription":   "subconninfo",
}

// counting names relations of pg_catalog that hold counters and states of the
// server's work: no structure, and no values of tables either.
var counting = func() map[string]bool {
	m := map[string]bool{}
	for n := range set(`pg_locks pg_replication_slots pg_sequences pg_stat_replication pg_stat_replication_slots
		pg_stat_subscription pg_stat_subscription_stats pg_stat_progress_copy pg_stat_progress_basebackup pg_stat_recovery_prefetch
		pg_stat_all_indexes pg_stat_all_tables pg_stat_archiver pg_stat_bgwriter
		pg_stat_checkpointer pg_stat_database pg_stat_database_conflicts pg_stat_gssapi pg_stat_io
		pg_stat_progress_analyze pg_stat_progress_cluster pg_stat_progress_create_index pg_stat_progress_vacuum
		pg_stat_slru pg_stat_ssl pg_stat_sys_indexes pg_stat_sys_tables pg_stat_user_functions pg_stat_user_indexes
		pg_stat_user_tables pg_stat_wal pg_stat_xact_all_tables pg_stat_xact_sys_tables pg_stat_xact_user_functions
		pg_stat_xact_user_tables pg_statio_all_indexes pg_statio_all_sequences pg_statio_all_tables
		pg_statio_sys_indexes pg_statio_sys_sequences pg_statio_sys_tables pg_statio_user_indexes
		pg_statio_user_sequences pg_statio_user_tables`) {
		m["pg_catalog."+n] = true
	}
	return m
}()

// harmless names settings that change neither what a text means nor who runs it.
var harmless = set(`array_nulls bytea_output client_min_messages cpu_index_tuple_cost cpu_operator_cost cpu_tuple_cost
	cursor_tuple_fraction datestyle deadlock_timeout default_statistics_target default_transaction_deferrable
	default_transaction_isolation default_transaction_read_only effective_cache_size enable_async_append enable_bitmapscan
	enable_gathermerge enable_hashagg enable_hashjoin enable_incremental_sort enable_indexonlyscan enable_indexscan
	enable_material enable_memoize enable_mergejoin enable_nestloop enable_parallel_append enable_parallel_hash
	enable_partition_pruning enable_partitionwise_aggregate enable_partitionwise_join enable_seqscan enable_sort
	enable_tidscan extra_float_digits from_collapse_limit geqo hash_mem_multiplier idle_in_transaction_session_timeout
	idle_session_timeout intervalstyle jit join_collapse_limit lock_timeout maintenance_work_mem
	max_parallel_workers_per_gather parallel_setup_cost parallel_tuple_cost plan_cache_mode random_page_cost seed
	seq_page_cost statement_timeout synchronize_seqscans synchronous_commit temp_buffers timezone
	transaction_deferrable transaction_isolation transaction_read_only work_mem xmlbinary xmloption`)

// shown names settings, beside the harmless ones, whose values are fit to be shown.
var shown = set(`block_size client_encoding debug_assertions default_tablespace default_table_access_method
	is_superuser in_hot_standby integer_datetimes lc_collate lc_ctype lc_messages lc_monetary lc_numeric lc_time
	max_connections max_function_args max_identifier_length max_index_keys max_wal_size min_wal_size password_encryption port role row_security search_path
	server_encoding server_version server_version_num session_authorization session_replication_role shared_buffers ssl
	standard_conforming_strings superuser_reserved_connections wal_level autovacuum max_worker_processes`)

// choices names settings among them that no code of a session can give a value of its own
// making: there are few to choose from, or they do not change.
var choices = set(`array_nulls autovacuum block_size bytea_output client_encoding client_min_messages datestyle debug_assertions
	default_transaction_deferrable default_transaction_isolation default_transaction_read_only in_hot_standby
	integer_datetimes intervalstyle is_superuser jit lc_collate lc_ctype max_connections max_function_args max_identifier_length max_index_keys
	max_wal_size max_worker_processes min_wal_size password_encryption plan_cache_mode port row_security server_encoding
	server_version server_version_num session_replication_role shared_buffers ssl standard_conforming_strings
	superuser_reserved_connections synchronous_commit transaction_deferrable transaction_isolation transaction_read_only
	wal_level xmlbinary xmloption`)

// fixed names settings that the connector depends on to read texts as the
// server does. Nothing may change them.
var fixed = set(`client_encoding standard_conforming_strings backslash_quote names`)
