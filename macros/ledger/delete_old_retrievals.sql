{#-
    Deletes logged searches older than so many days, each whole: its hits, then the search. Searches of a run
    (RETRIEVE_TEST, DRIFT_TEST) stay, as marts compare them over time, unless `evaluations` is true. `dry_run` only
    counts.

        dbt run-operation delete_old_retrievals --args '{days: 90}'
        dbt run-operation delete_old_retrievals --args '{days: 90, dry_run: true}'
-#}
{% macro delete_old_retrievals(days, dry_run=false, evaluations=false) -%}
    {%- if days is not integer or days < 1 -%}
        {% do exceptions.raise_compiler_error("days is " ~ days ~ "; give a whole number from 1, as {days: 90}.") %}
    {%- endif -%}
    {#- One moment for every statement; run_started_at is in UTC. -#}
    {%- set before = (run_started_at - modules.datetime.timedelta(days=days)).strftime('%Y-%m-%d %H:%M:%S') -%}
    {%- set old = old_retrievals_condition(before, evaluations) -%}
    {%- set counted = run_query(old_retrievals_count_sql(old)).rows[0] -%}
    {%- set found = counted[0] ~ " searches and " ~ counted[1] ~ " hits from before " ~ before ~ " UTC" -%}
    {%- if dry_run -%}
        {% do log("Would delete " ~ found ~ ".", info=true) %}
    {%- else -%}
        {% do delete_children_first(old_hits_delete_sql(old), old_retrievals_delete_sql(old)) %}
        {% do log("Deleted " ~ found ~ ".", info=true) %}
    {%- endif -%}
{%- endmacro %}

{% macro old_retrievals_condition(before, evaluations) -%}
    created_utc < {{ as_timestamp("'" ~ before ~ "'") }}
    {%- if not evaluations %} and run_id is null{% endif -%}
{%- endmacro %}

{% macro old_retrievals_count_sql(old) -%}
    select
        (select count(*) from {{ ref('retrieval') }} where {{ old }}) as retrieval_count,
        (
            select count(*) from {{ ref('retrieval_hit') }}
            where retrieval_id in (select retrieval_id from {{ ref('retrieval') }} where {{ old }})
        ) as hit_count
{%- endmacro %}

{% macro old_hits_delete_sql(old) -%}
    delete from {{ ref('retrieval_hit') }}
    where retrieval_id in (select retrieval_id from {{ ref('retrieval') }} where {{ old }})
{%- endmacro %}

{% macro old_retrievals_delete_sql(old) -%}
    delete from {{ ref('retrieval') }}
    where {{ old }}
{%- endmacro %}
