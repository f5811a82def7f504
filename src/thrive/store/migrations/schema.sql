CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);

CREATE TABLE alerts (
	project_id VARCHAR(32) NOT NULL, 
	alert_id VARCHAR(32) NOT NULL, 
	model VARCHAR(200) NOT NULL, 
	version BIGINT NOT NULL, 
	cause VARCHAR(20) NOT NULL, 
	level VARCHAR(8) NOT NULL, 
	state VARCHAR(10) NOT NULL, 
	title TEXT DEFAULT '' NOT NULL, 
	owner VARCHAR(200) NOT NULL, 
	deputy VARCHAR(200) NOT NULL, 
	opened_at BIGINT NOT NULL, 
	deadline BIGINT NOT NULL, 
	evidence JSON NOT NULL, 
	proposed JSON NOT NULL, 
	recommended VARCHAR(200) NOT NULL, 
	default_action VARCHAR(20), 
	first_bad BIGINT, 
	last_bad BIGINT, 
	closed_at BIGINT, 
	closing TEXT DEFAULT '' NOT NULL, 
	replay BOOLEAN NOT NULL, attention JSON, 
	CONSTRAINT pk_alerts PRIMARY KEY (project_id, alert_id)
);

CREATE TABLE approvals (
	project_id VARCHAR(32) NOT NULL, 
	approval_id VARCHAR(32) NOT NULL, 
	model VARCHAR(200) NOT NULL, 
	version BIGINT NOT NULL, 
	step VARCHAR(200) NOT NULL, 
	actor VARCHAR(200) NOT NULL, 
	reason TEXT DEFAULT '' NOT NULL, 
	given_at BIGINT NOT NULL, 
	CONSTRAINT pk_approvals PRIMARY KEY (project_id, approval_id)
);

CREATE TABLE "artifacts" (
	project_id VARCHAR(32) NOT NULL, 
	run_id VARCHAR(34) NOT NULL, 
	name VARCHAR(250) NOT NULL, 
	kind VARCHAR(40) NOT NULL, 
	digest VARCHAR(64) DEFAULT ('') NOT NULL, 
	size BIGINT NOT NULL, 
	created_at BIGINT NOT NULL, 
	CONSTRAINT pk_artifacts PRIMARY KEY (project_id, run_id, name)
);

CREATE TABLE audit (
	project_id VARCHAR(32) NOT NULL, 
	seq BIGINT NOT NULL, 
	at BIGINT NOT NULL, 
	actor VARCHAR(200) NOT NULL, 
	operation VARCHAR(200) NOT NULL, 
	subject VARCHAR(200) NOT NULL, 
	detail JSON NOT NULL, 
	previous VARCHAR(64) DEFAULT '' NOT NULL, 
	digest VARCHAR(64) DEFAULT '' NOT NULL, 
	CONSTRAINT pk_audit PRIMARY KEY (project_id, seq)
);

CREATE TABLE audit_heads (
	project_id VARCHAR(32) NOT NULL, 
	seq BIGINT NOT NULL, 
	digest VARCHAR(64) DEFAULT '' NOT NULL, 
	CONSTRAINT pk_audit_heads PRIMARY KEY (project_id)
);

CREATE TABLE audit_seals (
	project_id VARCHAR(32) NOT NULL, 
	seq BIGINT NOT NULL, 
	digest VARCHAR(64) DEFAULT '' NOT NULL, 
	at BIGINT NOT NULL, 
	signature TEXT DEFAULT '' NOT NULL, 
	signed_by VARCHAR(64) DEFAULT '' NOT NULL, 
	CONSTRAINT pk_audit_seals PRIMARY KEY (project_id, seq)
);

CREATE TABLE blob_references (
	project_id VARCHAR(32) NOT NULL, 
	digest VARCHAR(64) NOT NULL, 
	kind VARCHAR(40) NOT NULL, 
	id VARCHAR(300) NOT NULL, 
	CONSTRAINT pk_blob_references PRIMARY KEY (project_id, digest, kind, id)
);

CREATE TABLE changes (
	seq INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	project_id VARCHAR(32) NOT NULL, 
	kind VARCHAR(40) NOT NULL, 
	id VARCHAR(300) NOT NULL
);

CREATE TABLE column_labels (
	project_id VARCHAR(32) NOT NULL, 
	dataset VARCHAR(64) NOT NULL, 
	name VARCHAR(250) NOT NULL, 
	dtype VARCHAR(200) NOT NULL, 
	kind VARCHAR(200) NOT NULL, 
	actor VARCHAR(200) NOT NULL, 
	at BIGINT NOT NULL, 
	reason TEXT DEFAULT '' NOT NULL, 
	CONSTRAINT pk_column_labels PRIMARY KEY (project_id, dataset, name, dtype)
);

CREATE TABLE contracts (
	project_id VARCHAR(32) NOT NULL, 
	digest VARCHAR(64) NOT NULL, 
	text TEXT DEFAULT '' NOT NULL, 
	"commit" TEXT DEFAULT '' NOT NULL, 
	stored_at BIGINT NOT NULL, 
	CONSTRAINT pk_contracts PRIMARY KEY (project_id, digest)
);

CREATE TABLE data_grants (
	project_id VARCHAR(32) NOT NULL, 
	grant_id VARCHAR(32) NOT NULL, 
	dataset VARCHAR(200) NOT NULL, 
	columns JSON NOT NULL, 
	reader VARCHAR(200) NOT NULL, 
	purpose VARCHAR(200) NOT NULL, 
	reason TEXT DEFAULT '' NOT NULL, 
	actor VARCHAR(200) NOT NULL, 
	given_at BIGINT NOT NULL, 
	expires_at BIGINT NOT NULL, 
	revoked_at BIGINT, 
	CONSTRAINT pk_data_grants PRIMARY KEY (project_id, grant_id)
);

CREATE TABLE data_reads (
	project_id VARCHAR(32) NOT NULL, 
	read_id VARCHAR(32) NOT NULL, 
	dataset VARCHAR(200) NOT NULL, 
	version BIGINT NOT NULL, 
	columns JSON NOT NULL, 
	pseudonymised JSON NOT NULL, 
	reader VARCHAR(200) NOT NULL, 
	purpose VARCHAR(200) NOT NULL, 
	grant_id VARCHAR(32) NOT NULL, 
	rows BIGINT NOT NULL, 
	at BIGINT NOT NULL, 
	CONSTRAINT pk_data_reads PRIMARY KEY (project_id, read_id)
);

CREATE TABLE dataset_tags (
	project_id VARCHAR(32) NOT NULL, 
	dataset VARCHAR(64) NOT NULL, 
	tag VARCHAR(64) NOT NULL, 
	version BIGINT NOT NULL, 
	actor VARCHAR(200) NOT NULL, 
	at BIGINT NOT NULL, 
	CONSTRAINT pk_dataset_tags PRIMARY KEY (project_id, dataset, tag)
);

CREATE TABLE "dataset_versions" (
	project_id VARCHAR(32) NOT NULL, 
	dataset VARCHAR(64) NOT NULL, 
	version BIGINT NOT NULL, 
	digest VARCHAR(64) DEFAULT ('') NOT NULL, 
	source TEXT DEFAULT ('') NOT NULL, 
	rows BIGINT NOT NULL, 
	size BIGINT NOT NULL, 
	columns JSON NOT NULL, 
	created_at BIGINT NOT NULL, 
	actor VARCHAR(200) NOT NULL, 
	profile JSON NOT NULL, 
	checks JSON NOT NULL, 
	trainable BOOLEAN NOT NULL, 
	made_by VARCHAR(32), 
	replay BOOLEAN NOT NULL, 
	file_count BIGINT DEFAULT '0' NOT NULL, 
	manifest VARCHAR(64) DEFAULT ('') NOT NULL, 
	CONSTRAINT pk_dataset_versions PRIMARY KEY (project_id, dataset, version)
);

CREATE TABLE datasets (
	project_id VARCHAR(32) NOT NULL, 
	name VARCHAR(64) NOT NULL, 
	owner VARCHAR(200) NOT NULL, 
	why TEXT DEFAULT '' NOT NULL, 
	created_at BIGINT NOT NULL, 
	CONSTRAINT pk_datasets PRIMARY KEY (project_id, name)
);

CREATE TABLE decisions (
	project_id VARCHAR(32) NOT NULL, 
	decision_id VARCHAR(32) NOT NULL, 
	alert_id VARCHAR(200) NOT NULL, 
	action VARCHAR(20) NOT NULL, 
	actor VARCHAR(200) NOT NULL, 
	reason TEXT DEFAULT '' NOT NULL, 
	decided_at BIGINT NOT NULL, 
	state VARCHAR(12) NOT NULL, 
	result JSON NOT NULL, 
	worked BOOLEAN, 
	CONSTRAINT pk_decisions PRIMARY KEY (project_id, decision_id)
);

CREATE TABLE documents (
	project_id VARCHAR(32) NOT NULL, 
	kind VARCHAR(40) NOT NULL, 
	subject VARCHAR(200) NOT NULL, 
	digest VARCHAR(64) NOT NULL, 
	html VARCHAR(64) DEFAULT '' NOT NULL, 
	markdown VARCHAR(64) DEFAULT '' NOT NULL, 
	missing BIGINT NOT NULL, 
	release_id VARCHAR(32) NOT NULL, 
	actor VARCHAR(200) NOT NULL, 
	at BIGINT NOT NULL, 
	CONSTRAINT pk_documents PRIMARY KEY (project_id, kind, subject, digest)
);

CREATE TABLE drills (
	project_id VARCHAR(32) NOT NULL, 
	drill_id VARCHAR(32) NOT NULL, 
	model VARCHAR(200) NOT NULL, 
	actor VARCHAR(200) NOT NULL, 
	at BIGINT NOT NULL, 
	hosts BIGINT NOT NULL, 
	took BIGINT, 
	words TEXT DEFAULT '' NOT NULL, 
	CONSTRAINT pk_drills PRIMARY KEY (project_id, drill_id)
);

CREATE TABLE duty_answers (
	project_id VARCHAR(32) NOT NULL, 
	model VARCHAR(64) NOT NULL, 
	revision BIGINT NOT NULL, 
	digest VARCHAR(64) DEFAULT '' NOT NULL, 
	fields JSON NOT NULL, 
	risks JSON NOT NULL, 
	"commit" TEXT DEFAULT '' NOT NULL, 
	actor VARCHAR(200) NOT NULL, 
	at BIGINT NOT NULL, population JSON DEFAULT '{}' NOT NULL, 
	CONSTRAINT pk_duty_answers PRIMARY KEY (project_id, model, revision)
);

CREATE TABLE duty_exceptions (
	project_id VARCHAR(32) NOT NULL, 
	exception_id VARCHAR(32) NOT NULL, 
	model VARCHAR(200) NOT NULL, 
	duty VARCHAR(200) NOT NULL, 
	role VARCHAR(200) NOT NULL, 
	actor VARCHAR(200) NOT NULL, 
	reason TEXT DEFAULT '' NOT NULL, 
	own_work BOOLEAN NOT NULL, 
	given_at BIGINT NOT NULL, 
	expires_at BIGINT NOT NULL, 
	revoked_at BIGINT, 
	CONSTRAINT pk_duty_exceptions PRIMARY KEY (project_id, exception_id)
);

CREATE TABLE erasures (
	project_id VARCHAR(32) NOT NULL, 
	erasure_id VARCHAR(32) NOT NULL, 
	state VARCHAR(12) NOT NULL, 
	reason TEXT DEFAULT '' NOT NULL, 
	legal_basis TEXT DEFAULT '' NOT NULL, 
	actor VARCHAR(200) NOT NULL, 
	salt TEXT DEFAULT '' NOT NULL, 
	person VARCHAR(64) DEFAULT '' NOT NULL, 
	scope JSON NOT NULL, 
	counts JSON NOT NULL, 
	removed JSON NOT NULL, 
	"left" JSON NOT NULL, 
	proof VARCHAR(64) DEFAULT '' NOT NULL, 
	started_at BIGINT NOT NULL, 
	ended_at BIGINT, consent JSON, 
	CONSTRAINT pk_erasures PRIMARY KEY (project_id, erasure_id)
);

CREATE TABLE experiments (
	project_id VARCHAR(32) NOT NULL, 
	experiment_id BIGINT NOT NULL, 
	name VARCHAR(500) NOT NULL, 
	tags JSON NOT NULL, 
	created_at BIGINT NOT NULL, 
	updated_at BIGINT NOT NULL, 
	deleted_at BIGINT, 
	CONSTRAINT pk_experiments PRIMARY KEY (project_id, experiment_id), 
	CONSTRAINT uq_experiments_project_id_name UNIQUE (project_id, name)
);

CREATE TABLE explanation_trials (
	project_id VARCHAR(32) NOT NULL, 
	trial_id VARCHAR(32) NOT NULL, 
	model VARCHAR(200) NOT NULL, 
	version BIGINT NOT NULL, 
	prediction_id VARCHAR(32) NOT NULL, 
	at BIGINT NOT NULL, 
	reproduced BOOLEAN DEFAULT 0 NOT NULL, 
	words TEXT DEFAULT '' NOT NULL, 
	CONSTRAINT pk_explanation_trials PRIMARY KEY (project_id, trial_id)
);

CREATE TABLE feature_views (
	project_id VARCHAR(32) NOT NULL, 
	name VARCHAR(64) NOT NULL, 
	version BIGINT NOT NULL, 
	digest VARCHAR(64) DEFAULT '' NOT NULL, 
	definition JSON NOT NULL, 
	keys JSON NOT NULL, 
	columns JSON NOT NULL, 
	created_at BIGINT NOT NULL, 
	actor VARCHAR(200) NOT NULL, 
	CONSTRAINT pk_feature_views PRIMARY KEY (project_id, name, version)
);

CREATE TABLE firings (
	project_id VARCHAR(32) NOT NULL, 
	firing_id VARCHAR(32) NOT NULL, 
	schedule VARCHAR(200) NOT NULL, 
	cause TEXT DEFAULT '' NOT NULL, 
	fired_at BIGINT NOT NULL, 
	by_hand BOOLEAN NOT NULL, 
	job_id VARCHAR(32) NOT NULL, 
	run_id VARCHAR(32) NOT NULL, 
	CONSTRAINT pk_firings PRIMARY KEY (project_id, firing_id)
);

CREATE TABLE incidents (
	project_id VARCHAR(32) NOT NULL, 
	incident_id VARCHAR(32) NOT NULL, 
	model VARCHAR(200) NOT NULL, 
	version BIGINT NOT NULL, 
	kind VARCHAR(20) NOT NULL, 
	what TEXT DEFAULT '' NOT NULL, 
	actor VARCHAR(200) NOT NULL, 
	aware_at BIGINT NOT NULL, 
	opened_at BIGINT NOT NULL, 
	due_at BIGINT NOT NULL, 
	evidence JSON NOT NULL, 
	reported_at BIGINT, 
	authority TEXT DEFAULT '' NOT NULL, 
	cause TEXT DEFAULT '' NOT NULL, 
	report TEXT DEFAULT '' NOT NULL, 
	reported_by VARCHAR(200) NOT NULL, 
	CONSTRAINT pk_incidents PRIMARY KEY (project_id, incident_id)
);

CREATE TABLE jobs (
	project_id VARCHAR(32) NOT NULL, 
	job_id VARCHAR(32) NOT NULL, 
	operation VARCHAR(200) NOT NULL, 
	arguments JSON NOT NULL, 
	state VARCHAR(12) NOT NULL, 
	actor VARCHAR(200) NOT NULL, 
	run_at BIGINT NOT NULL, 
	created_at BIGINT NOT NULL, 
	lease_until BIGINT NOT NULL, 
	fence BIGINT NOT NULL, 
	attempt BIGINT NOT NULL, 
	max_attempts BIGINT NOT NULL, 
	dedupe_key VARCHAR(200), 
	progress FLOAT NOT NULL, 
	message TEXT DEFAULT '' NOT NULL, 
	result JSON, 
	error TEXT DEFAULT '' NOT NULL, 
	finished_at BIGINT, error_code TEXT DEFAULT '' NOT NULL, 
	CONSTRAINT pk_jobs PRIMARY KEY (project_id, job_id), 
	CONSTRAINT uq_jobs_project_id_dedupe_key UNIQUE (project_id, dedupe_key)
);

CREATE TABLE leases (
	project_id VARCHAR(32) NOT NULL, 
	name VARCHAR(100) NOT NULL, 
	owner VARCHAR(200) NOT NULL, 
	fence BIGINT NOT NULL, 
	until BIGINT NOT NULL, 
	CONSTRAINT pk_leases PRIMARY KEY (project_id, name)
);

CREATE TABLE legal_holds (
	project_id VARCHAR(32) NOT NULL, 
	hold_id VARCHAR(32) NOT NULL, 
	subject VARCHAR(200) NOT NULL, 
	reason TEXT DEFAULT '' NOT NULL, 
	actor VARCHAR(200) NOT NULL, 
	placed_at BIGINT NOT NULL, 
	lifted_by VARCHAR(200) NOT NULL, 
	lifted_for TEXT DEFAULT '' NOT NULL, 
	lifted_at BIGINT, 
	CONSTRAINT pk_legal_holds PRIMARY KEY (project_id, hold_id)
);

CREATE TABLE log_ends (
	project_id VARCHAR(32) NOT NULL, 
	model VARCHAR(64) NOT NULL, 
	until BIGINT NOT NULL, 
	looked_until BIGINT NOT NULL, 
	looked_at BIGINT NOT NULL, 
	rows BIGINT NOT NULL, 
	outcomes BIGINT NOT NULL, 
	versions JSON NOT NULL, 
	CONSTRAINT pk_log_ends PRIMARY KEY (project_id, model)
);

CREATE TABLE logged_models (
	project_id VARCHAR(32) NOT NULL, 
	model_id VARCHAR(34) NOT NULL, 
	experiment_id BIGINT NOT NULL, 
	name VARCHAR(200) NOT NULL, 
	state VARCHAR(12) NOT NULL, 
	kind VARCHAR(200) NOT NULL, 
	run_id VARCHAR(32) NOT NULL, 
	created_at BIGINT NOT NULL, 
	updated_at BIGINT NOT NULL, 
	params JSON NOT NULL, 
	tags JSON NOT NULL, 
	metrics JSON NOT NULL, 
	message TEXT DEFAULT '' NOT NULL, 
	deleted_at BIGINT, 
	CONSTRAINT pk_logged_models PRIMARY KEY (project_id, model_id)
);

CREATE TABLE materializations (
	project_id VARCHAR(32) NOT NULL, 
	"view" VARCHAR(64) NOT NULL, 
	digest VARCHAR(64) NOT NULL, 
	sources JSON NOT NULL, 
	until BIGINT NOT NULL, 
	complete BOOLEAN NOT NULL, 
	rows BIGINT NOT NULL, 
	changed BIGINT NOT NULL, 
	newest BIGINT, 
	at BIGINT NOT NULL, told_late BIGINT, 
	CONSTRAINT pk_materializations PRIMARY KEY (project_id, "view", digest)
);

CREATE TABLE metric_chunks (
	project_id VARCHAR(32) NOT NULL, 
	run_id VARCHAR(32) NOT NULL, 
	"key" VARCHAR(250) NOT NULL, 
	seq BIGINT NOT NULL, 
	points BIGINT NOT NULL, 
	data BLOB NOT NULL, 
	CONSTRAINT pk_metric_chunks PRIMARY KEY (project_id, run_id, "key", seq)
);

CREATE TABLE "model_versions" (
	project_id VARCHAR(32) NOT NULL, 
	model VARCHAR(256) NOT NULL, 
	version BIGINT NOT NULL, 
	package VARCHAR(64) DEFAULT ('') NOT NULL, 
	signature JSON NOT NULL, 
	metrics JSON NOT NULL, 
	run_id VARCHAR(200) NOT NULL, 
	contract VARCHAR(64) DEFAULT ('') NOT NULL, 
	"commit" TEXT DEFAULT ('') NOT NULL, 
	dirty BOOLEAN NOT NULL, 
	created_at BIGINT NOT NULL, 
	actor VARCHAR(200) NOT NULL, 
	training JSON NOT NULL, 
	evaluation VARCHAR(64) DEFAULT ('') NOT NULL, 
	reference VARCHAR(64) DEFAULT ('') NOT NULL, 
	importance JSON NOT NULL, 
	note TEXT DEFAULT ('') NOT NULL, 
	retired_at BIGINT, 
	replay BOOLEAN NOT NULL, 
	features JSON, 
	source TEXT DEFAULT '' NOT NULL, 
	logged_model VARCHAR(34) DEFAULT '' NOT NULL, 
	tags JSON, 
	updated_at BIGINT, seal JSON, trained_rows VARCHAR(64) DEFAULT '' NOT NULL, 
	CONSTRAINT pk_model_versions PRIMARY KEY (project_id, model, version)
);

CREATE TABLE "models" (
	project_id VARCHAR(32) NOT NULL, 
	name VARCHAR(256) NOT NULL, 
	owner VARCHAR(200) NOT NULL, 
	purpose TEXT DEFAULT ('') NOT NULL, 
	created_at BIGINT NOT NULL, 
	updated_at BIGINT, 
	tags JSON, 
	aliases JSON, 
	last_version BIGINT, protected JSON, 
	CONSTRAINT pk_models PRIMARY KEY (project_id, name)
);

CREATE TABLE outcomes (
	project_id VARCHAR(32) NOT NULL, 
	prediction_id VARCHAR(32) NOT NULL, 
	source VARCHAR(64) NOT NULL, 
	revision BIGINT NOT NULL, 
	value JSON, 
	observed_at BIGINT NOT NULL, 
	recorded_at BIGINT NOT NULL, 
	reason TEXT DEFAULT '' NOT NULL, 
	CONSTRAINT pk_outcomes PRIMARY KEY (project_id, prediction_id, source, revision)
);

CREATE TABLE parked_outcomes (
	project_id VARCHAR(32) NOT NULL, 
	parked_id VARCHAR(32) NOT NULL, 
	model VARCHAR(200) NOT NULL, 
	entity JSON NOT NULL, 
	at BIGINT NOT NULL, 
	within BIGINT NOT NULL, 
	value JSON, 
	observed_at BIGINT NOT NULL, 
	recorded_at BIGINT NOT NULL, 
	tried_at BIGINT NOT NULL, 
	source VARCHAR(200) NOT NULL, 
	revision BIGINT NOT NULL, 
	reason TEXT DEFAULT '' NOT NULL, 
	CONSTRAINT pk_parked_outcomes PRIMARY KEY (project_id, parked_id)
);

CREATE TABLE projects (
	project_id VARCHAR(32) NOT NULL, 
	name VARCHAR(200) NOT NULL, 
	clock_mode VARCHAR(8) NOT NULL, 
	replay_now BIGINT NOT NULL, 
	created_at BIGINT NOT NULL, 
	CONSTRAINT pk_projects PRIMARY KEY (project_id), 
	CONSTRAINT uq_projects_name UNIQUE (name)
);

CREATE TABLE pseudonym_keys (
	project_id VARCHAR(32) NOT NULL, 
	fingerprint VARCHAR(64) DEFAULT '' NOT NULL, 
	"key" VARCHAR(64) NOT NULL, 
	host VARCHAR(200) NOT NULL, 
	actor VARCHAR(200) NOT NULL, 
	made_at BIGINT NOT NULL, 
	CONSTRAINT pk_pseudonym_keys PRIMARY KEY (project_id)
);

CREATE TABLE releases (
	project_id VARCHAR(32) NOT NULL, 
	release_id VARCHAR(32) NOT NULL, 
	model VARCHAR(200) NOT NULL, 
	candidate BIGINT NOT NULL, 
	production BIGINT, 
	phases JSON NOT NULL, 
	position BIGINT NOT NULL, 
	state VARCHAR(12) NOT NULL, 
	phase_started_at BIGINT NOT NULL, 
	started_at BIGINT NOT NULL, 
	actor VARCHAR(200) NOT NULL, 
	verdict VARCHAR(200) NOT NULL, 
	contract VARCHAR(64) DEFAULT '' NOT NULL, 
	evidence JSON NOT NULL, 
	reason TEXT DEFAULT '' NOT NULL, 
	ended_at BIGINT, 
	replay BOOLEAN NOT NULL, 
	CONSTRAINT pk_releases PRIMARY KEY (project_id, release_id)
);

CREATE TABLE restrictions (
	project_id VARCHAR(32) NOT NULL, 
	restriction_id VARCHAR(32) NOT NULL, 
	kind VARCHAR(20) NOT NULL, 
	person VARCHAR(64) DEFAULT '' NOT NULL, 
	columns JSON NOT NULL, 
	reason TEXT DEFAULT '' NOT NULL, 
	actor VARCHAR(200) NOT NULL, 
	placed_at BIGINT NOT NULL, 
	held JSON NOT NULL, 
	digests JSON NOT NULL, 
	rows BIGINT NOT NULL, 
	lifted_by VARCHAR(200) NOT NULL, 
	lifted_for TEXT DEFAULT '' NOT NULL, 
	lifted_at BIGINT, asked TEXT DEFAULT '' NOT NULL, asked_key VARCHAR(64) DEFAULT '' NOT NULL, 
	CONSTRAINT pk_restrictions PRIMARY KEY (project_id, restriction_id)
);

CREATE TABLE reviews (
	project_id VARCHAR(32) NOT NULL, 
	prediction_id VARCHAR(32) NOT NULL, 
	model VARCHAR(200) NOT NULL, 
	version BIGINT NOT NULL, 
	why TEXT DEFAULT '' NOT NULL, 
	asked_by VARCHAR(200) NOT NULL, 
	asked_at BIGINT NOT NULL, 
	decision VARCHAR(10) NOT NULL, 
	value JSON, 
	reason TEXT DEFAULT '' NOT NULL, 
	reviewer VARCHAR(200) NOT NULL, 
	decided_at BIGINT, 
	CONSTRAINT pk_reviews PRIMARY KEY (project_id, prediction_id)
);

CREATE TABLE "routing" (
	project_id VARCHAR(32) NOT NULL, 
	model VARCHAR(64) NOT NULL, 
	revision BIGINT NOT NULL, 
	variants JSON NOT NULL, 
	fallback JSON, 
	salt VARCHAR(200) NOT NULL, 
	at BIGINT NOT NULL, 
	reason TEXT DEFAULT ('') NOT NULL, 
	actor VARCHAR(200) NOT NULL, 
	release_id VARCHAR(32), 
	stopped BOOLEAN DEFAULT 0 NOT NULL, 
	CONSTRAINT pk_routing PRIMARY KEY (project_id, model, revision)
);

CREATE TABLE "runs" (
	project_id VARCHAR(32) NOT NULL, 
	run_id VARCHAR(32) NOT NULL, 
	experiment VARCHAR(500) NOT NULL, 
	name VARCHAR(500) NOT NULL, 
	state VARCHAR(12) NOT NULL, 
	actor VARCHAR(200) NOT NULL, 
	started_at BIGINT NOT NULL, 
	ended_at BIGINT, 
	pipeline VARCHAR(200) NOT NULL, 
	params JSON NOT NULL, 
	metrics JSON NOT NULL, 
	tags JSON NOT NULL, 
	code JSON, 
	environment JSON NOT NULL, 
	seed BIGINT NOT NULL, 
	error TEXT DEFAULT ('') NOT NULL, 
	process VARCHAR(200) NOT NULL, 
	replay BOOLEAN NOT NULL, 
	summaries JSON, 
	inputs JSON, 
	logged_models JSON, 
	deleted_at BIGINT, 
	CONSTRAINT pk_runs PRIMARY KEY (project_id, run_id)
);

CREATE TABLE saved_views (
	project_id VARCHAR(32) NOT NULL, 
	name VARCHAR(80) NOT NULL, 
	page VARCHAR(12) NOT NULL, 
	"query" TEXT DEFAULT '' NOT NULL, 
	actor VARCHAR(200) NOT NULL, 
	saved_at BIGINT NOT NULL, 
	CONSTRAINT pk_saved_views PRIMARY KEY (project_id, name)
);

CREATE TABLE schedules (
	project_id VARCHAR(32) NOT NULL, 
	name VARCHAR(200) NOT NULL, 
	target TEXT DEFAULT '' NOT NULL, 
	triggers JSON NOT NULL, 
	code JSON NOT NULL, 
	actor VARCHAR(200) NOT NULL, 
	created_at BIGINT NOT NULL, 
	params JSON NOT NULL, 
	experiment VARCHAR(200) NOT NULL, 
	zone VARCHAR(200) NOT NULL, 
	missed VARCHAR(12) NOT NULL, 
	debounce BIGINT NOT NULL, 
	budget BIGINT NOT NULL, 
	budget_window BIGINT NOT NULL, 
	next_at BIGINT, 
	seen JSON NOT NULL, 
	pending JSON, 
	paused BOOLEAN NOT NULL, 
	revision BIGINT NOT NULL, 
	CONSTRAINT pk_schedules PRIMARY KEY (project_id, name)
);

CREATE TABLE sealed_logs (
	project_id VARCHAR(32) NOT NULL, 
	host VARCHAR(100) NOT NULL, 
	worker BIGINT NOT NULL, 
	segment BIGINT NOT NULL, 
	from_offset BIGINT NOT NULL, 
	to_offset BIGINT NOT NULL, 
	digest VARCHAR(64) DEFAULT '' NOT NULL, 
	rows BIGINT NOT NULL, 
	min_time BIGINT NOT NULL, 
	max_time BIGINT NOT NULL, 
	sealed_at BIGINT NOT NULL, 
	dropped BIGINT NOT NULL, 
	first_id VARCHAR(200) NOT NULL, 
	last_id VARCHAR(200) NOT NULL, 
	final BOOLEAN NOT NULL, 
	CONSTRAINT pk_sealed_logs PRIMARY KEY (project_id, host, worker, segment, from_offset)
);

CREATE TABLE serving_hosts (
	project_id VARCHAR(32) NOT NULL, 
	agent_id VARCHAR(32) NOT NULL, 
	host VARCHAR(200) NOT NULL, 
	url VARCHAR(200) NOT NULL, 
	revision BIGINT NOT NULL, 
	seen_at BIGINT NOT NULL, 
	answered BIGINT NOT NULL, 
	failed BIGINT NOT NULL, 
	dropped BIGINT NOT NULL, consumers JSON DEFAULT '[]' NOT NULL, unregistered BIGINT DEFAULT '0' NOT NULL, 
	CONSTRAINT pk_serving_hosts PRIMARY KEY (project_id, agent_id)
);

CREATE TABLE sessions (
	project_id VARCHAR(32) NOT NULL, 
	session VARCHAR(64) NOT NULL, 
	token_id VARCHAR(32) DEFAULT '' NOT NULL, 
	server VARCHAR(64) DEFAULT '' NOT NULL, 
	until BIGINT NOT NULL, actor JSON, 
	CONSTRAINT pk_sessions PRIMARY KEY (project_id, session)
);

CREATE TABLE source_states (
	project_id VARCHAR(32) NOT NULL, 
	dataset VARCHAR(64) NOT NULL, 
	source TEXT DEFAULT '' NOT NULL, 
	read_at BIGINT NOT NULL, 
	mark TEXT DEFAULT '' NOT NULL, 
	problem TEXT DEFAULT '' NOT NULL, 
	CONSTRAINT pk_source_states PRIMARY KEY (project_id, dataset)
);

CREATE TABLE step_codes (
	project_id VARCHAR(32) NOT NULL, 
	digest VARCHAR(64) NOT NULL, 
	parts JSON NOT NULL, 
	libraries JSON NOT NULL, 
	CONSTRAINT pk_step_codes PRIMARY KEY (project_id, digest)
);

CREATE TABLE steps (
	project_id VARCHAR(32) NOT NULL, 
	run_id VARCHAR(32) NOT NULL, 
	position BIGINT NOT NULL, 
	name VARCHAR(200) NOT NULL, 
	state VARCHAR(12) NOT NULL, 
	started_at BIGINT NOT NULL, 
	ended_at BIGINT, 
	seed BIGINT NOT NULL, 
	outputs JSON NOT NULL, 
	error TEXT DEFAULT '' NOT NULL, "index" BIGINT, "key" VARCHAR(64) DEFAULT '' NOT NULL, code VARCHAR(64) DEFAULT '' NOT NULL, inputs JSON, result JSON, effects JSON, source TEXT DEFAULT '' NOT NULL, note TEXT DEFAULT '' NOT NULL, attempts BIGINT, cpu BIGINT, peak BIGINT, 
	CONSTRAINT pk_steps PRIMARY KEY (project_id, run_id, position)
);

CREATE TABLE team_contacts (
	project_id VARCHAR(32) NOT NULL, 
	team VARCHAR(64) NOT NULL, 
	channel VARCHAR(300) NOT NULL, 
	arrived_at BIGINT NOT NULL, 
	CONSTRAINT pk_team_contacts PRIMARY KEY (project_id, team, channel)
);

CREATE TABLE tokens (
	project_id VARCHAR(32) NOT NULL, 
	token_id VARCHAR(32) NOT NULL, 
	name VARCHAR(200) NOT NULL, 
	roles JSON NOT NULL, 
	digest VARCHAR(64) DEFAULT '' NOT NULL, 
	created_at BIGINT NOT NULL, 
	expires_at BIGINT, 
	revoked_at BIGINT, 
	CONSTRAINT pk_tokens PRIMARY KEY (project_id, token_id)
);

CREATE TABLE tombstones (
	project_id VARCHAR(32) NOT NULL, 
	digest VARCHAR(64) NOT NULL, 
	kind VARCHAR(40) NOT NULL, 
	subject VARCHAR(300) NOT NULL, 
	replaced_by VARCHAR(64) DEFAULT '' NOT NULL, 
	erasure_id VARCHAR(32) NOT NULL, 
	erased_at BIGINT NOT NULL, 
	reason TEXT DEFAULT '' NOT NULL, 
	CONSTRAINT pk_tombstones PRIMARY KEY (project_id, digest)
);

CREATE TABLE transcripts (
	project_id VARCHAR(32) NOT NULL, 
	job_id VARCHAR(32) NOT NULL, 
	seq BIGINT NOT NULL, 
	at BIGINT NOT NULL, 
	text TEXT DEFAULT '' NOT NULL, 
	CONSTRAINT pk_transcripts PRIMARY KEY (project_id, job_id, seq)
);

CREATE TABLE upload_parts (
	project_id VARCHAR(32) NOT NULL, 
	digest VARCHAR(64) NOT NULL, 
	first_byte BIGINT NOT NULL, 
	bytes BIGINT NOT NULL, 
	part VARCHAR(64) DEFAULT '' NOT NULL, 
	at BIGINT NOT NULL, 
	CONSTRAINT pk_upload_parts PRIMARY KEY (project_id, digest, first_byte)
);

CREATE TABLE uses (
	project_id VARCHAR(32) NOT NULL, 
	run_id VARCHAR(32) NOT NULL, 
	direction VARCHAR(3) NOT NULL, 
	kind VARCHAR(40) NOT NULL, 
	name VARCHAR(200) NOT NULL, 
	digest VARCHAR(64) NOT NULL, 
	version BIGINT, columns JSON, 
	CONSTRAINT pk_uses PRIMARY KEY (project_id, run_id, direction, kind, name, digest)
);

CREATE TABLE verdicts (
	project_id VARCHAR(32) NOT NULL, 
	verdict_id VARCHAR(32) NOT NULL, 
	model VARCHAR(200) NOT NULL, 
	version BIGINT NOT NULL, 
	against BIGINT, 
	baseline VARCHAR(200) NOT NULL, 
	answer VARCHAR(12) NOT NULL, 
	results JSON NOT NULL, 
	candidate VARCHAR(64) DEFAULT '' NOT NULL, 
	production VARCHAR(64) DEFAULT '' NOT NULL, 
	test_data VARCHAR(64) DEFAULT '' NOT NULL, 
	contract VARCHAR(64) DEFAULT '' NOT NULL, 
	record VARCHAR(64) DEFAULT '' NOT NULL, 
	created_at BIGINT NOT NULL, 
	actor VARCHAR(200) NOT NULL, 
	replay BOOLEAN NOT NULL, measured VARCHAR(64) DEFAULT '' NOT NULL, signed_by VARCHAR(64) DEFAULT '' NOT NULL, signature TEXT DEFAULT '' NOT NULL, 
	CONSTRAINT pk_verdicts PRIMARY KEY (project_id, verdict_id)
);

CREATE TABLE webhooks (
	project_id VARCHAR(32) NOT NULL, 
	webhook_id VARCHAR(32) NOT NULL, 
	name VARCHAR(200) NOT NULL, 
	description TEXT DEFAULT '' NOT NULL, 
	url TEXT DEFAULT '' NOT NULL, 
	events JSON NOT NULL, 
	secret TEXT DEFAULT '' NOT NULL, 
	active BOOLEAN NOT NULL, 
	created_at BIGINT NOT NULL, 
	updated_at BIGINT NOT NULL, 
	CONSTRAINT pk_webhooks PRIMARY KEY (project_id, webhook_id)
);

CREATE TABLE windows (
	project_id VARCHAR(32) NOT NULL, 
	model VARCHAR(64) NOT NULL, 
	version BIGINT NOT NULL, 
	start BIGINT NOT NULL, 
	revision BIGINT NOT NULL, 
	"end" BIGINT NOT NULL, 
	rows BIGINT NOT NULL, 
	outcomes BIGINT NOT NULL, 
	findings JSON NOT NULL, 
	sketches VARCHAR(64) DEFAULT '' NOT NULL, 
	closed_at BIGINT NOT NULL, 
	replay BOOLEAN NOT NULL, 
	CONSTRAINT pk_windows PRIMARY KEY (project_id, model, version, start, revision)
);

CREATE INDEX ix_alerts_project_id_model_alert_id ON alerts (project_id, model, alert_id);

CREATE INDEX ix_alerts_project_id_model_state ON alerts (project_id, model, state, alert_id);

CREATE INDEX ix_alerts_project_id_state_alert_id ON alerts (project_id, state, alert_id);

CREATE INDEX ix_approvals_project_id_model_version ON approvals (project_id, model, version);

CREATE INDEX ix_blob_references_digest ON blob_references (digest);

CREATE INDEX ix_changes_project_id_seq ON changes (project_id, seq);

CREATE INDEX ix_data_grants_project_id_dataset ON data_grants (project_id, dataset);

CREATE INDEX ix_data_reads_project_id_dataset ON data_reads (project_id, dataset);

CREATE INDEX ix_dataset_versions_project_id_digest ON dataset_versions (project_id, digest);

CREATE INDEX ix_decisions_project_id_alert_id ON decisions (project_id, alert_id);

CREATE INDEX ix_drills_project_id_model ON drills (project_id, model);

CREATE INDEX ix_duty_exceptions_project_id_model ON duty_exceptions (project_id, model);

CREATE INDEX ix_explanation_trials_project_id_model ON explanation_trials (project_id, model);

CREATE INDEX ix_firings_project_id_schedule_fired_at ON firings (project_id, schedule, fired_at);

CREATE INDEX ix_incidents_project_id_model ON incidents (project_id, model);

CREATE INDEX ix_jobs_project_id_state_run_at ON jobs (project_id, state, run_at);

CREATE INDEX ix_legal_holds_project_id_subject ON legal_holds (project_id, subject);

CREATE INDEX ix_logged_models_project_id_experiment_id ON logged_models (project_id, experiment_id);

CREATE INDEX ix_outcomes_project_id_recorded_at ON outcomes (project_id, recorded_at);

CREATE INDEX ix_parked_outcomes_project_id_recorded_at ON parked_outcomes (project_id, recorded_at);

CREATE INDEX ix_releases_project_id_model_started_at ON releases (project_id, model, started_at);

CREATE INDEX ix_reviews_project_id_model ON reviews (project_id, model);

CREATE INDEX ix_runs_project_id_experiment_run_id ON runs (project_id, experiment, run_id);

CREATE INDEX ix_runs_running ON runs (project_id, state, run_id, process) WHERE state = 'running';

CREATE INDEX ix_sealed_logs_project_id_max_time ON sealed_logs (project_id, max_time);

CREATE INDEX ix_sessions_session ON sessions (session);

CREATE INDEX ix_steps_project_id_key ON steps (project_id, "key");

CREATE INDEX ix_tokens_token_id ON tokens (token_id);

CREATE INDEX ix_tombstones_project_id_replaced_by ON tombstones (project_id, replaced_by);

CREATE INDEX ix_uses_project_id_digest ON uses (project_id, digest);

CREATE INDEX ix_verdicts_project_id_model_version ON verdicts (project_id, model, version);

