{% macro delete_old_retrievals(days=none, dry_run=false, evaluations=false) -%}
    {%- set days = vector_runtime.retention_days('retrieval_days', days) -%}
    {% do vector_runtime.check_retention_arguments(days, dry_run, evaluations) %}
    {%- set before = vector_runtime.retention_start(days) -%}
    {%- set old = vector_runtime.old_retrievals_condition(before, evaluations) -%}
    {%- set counted = run_query(vector_runtime.old_retrievals_count_sql(old)).rows[0] -%}
    {%- set found = counted[0] ~ " searches and " ~ counted[1] ~ " hits from before " ~ before ~ " UTC" -%}
    {%- if dry_run -%}
        {% do log("Would delete " ~ found ~ ".", info=true) %}
    {%- else -%}
        {%- for last_id in run_query(vector_runtime.old_retrievals_batches_sql(old)).columns[0].values() -%}
            {% do vector_runtime.delete_children_first(vector_runtime.old_hits_delete_sql(old, last_id), vector_runtime.old_retrievals_delete_sql(old, last_id)) %}
        {%- endfor -%}
        {% do log("Deleted " ~ found ~ ".", info=true) %}
    {%- endif -%}
{%- endmacro %}

{% macro check_retention_arguments(days, dry_run, evaluations) -%}
    {%- if days is not integer or days < 1 or days > 36500 -%}
        {% do exceptions.raise_compiler_error(
            "days is " ~ days ~ "; give a whole number from 1 to 36500, as {days: 90}."
        ) %}
    {%- endif -%}
    {%- for name, value in {'dry_run': dry_run, 'evaluations': evaluations}.items() if value is not boolean -%}
        {% do exceptions.raise_compiler_error(
            name ~ " is " ~ tojson(value) ~ "; give true or false, without quotes, as {days: 90, " ~ name ~ ": true}."
        ) %}
    {%- endfor -%}
{%- endmacro %}

{% macro old_retrievals_condition(before, evaluations) -%}
    (
        (
            run_id is null
            and eval_query_id is null
            and created_utc < cast('{{ before }}' as {{ dbt.type_timestamp() | lower }})
        )
        {%- if evaluations %}
        or (
            run_id is null
            and eval_query_id is not null
            and created_utc < cast('{{ before[:10] }} 00:00:00' as {{ dbt.type_timestamp() | lower }})
        )
        or run_id in (
            select of_run.run_id
            from {{ ref('vector_runtime', 'retrieval') }} as of_run
            where of_run.run_id is not null
            group by of_run.run_id
            having max(of_run.created_utc) < cast('{{ before }}' as {{ dbt.type_timestamp() | lower }})
        )
        {%- endif %}
    )
{%- endmacro %}

{% macro old_retrievals_count_sql(old) -%}
    select
        (select count(*) from {{ ref('vector_runtime', 'retrieval') }} where {{ old }}) as retrieval_count,
        (
            select count(*) from {{ ref('vector_runtime', 'retrieval_hit') }}
            where retrieval_id in (select retrieval_id from {{ ref('vector_runtime', 'retrieval') }} where {{ old }})
        ) as hit_count
{%- endmacro %}

{% macro old_retrievals_batches_sql(old) -%}
    select max(numbered.retrieval_id) as last_id
    from (
        select
            counted.retrieval_id,
            {{ vector_runtime.ceil_divide('sum(counted.row_count) over (order by counted.retrieval_id rows unbounded preceding)', '2000') }}
                as batch_number
        from (
            select
                retrieval.retrieval_id,
                1 + count(hit.retrieval_id) as row_count
            from {{ ref('vector_runtime', 'retrieval') }} as retrieval
            left join {{ ref('vector_runtime', 'retrieval_hit') }} as hit
                on retrieval.retrieval_id = hit.retrieval_id
            where retrieval.retrieval_id in (select retrieval_id from {{ ref('vector_runtime', 'retrieval') }} where {{ old }})
            group by retrieval.retrieval_id
        ) as counted
    ) as numbered
    group by numbered.batch_number
    order by last_id
{%- endmacro %}

{% macro old_hits_delete_sql(old, last_id) -%}
    delete from {{ ref('vector_runtime', 'retrieval_hit') }}
    where retrieval_id in (
        select retrieval_id from {{ ref('vector_runtime', 'retrieval') }} where retrieval_id <= '{{ last_id }}' and {{ old }}
    )
{%- endmacro %}

{% macro old_retrievals_delete_sql(old, last_id) -%}
    delete from {{ ref('vector_runtime', 'retrieval') }}
    where retrieval_id <= '{{ last_id }}' and {{ old }}
{%- endmacro %}
