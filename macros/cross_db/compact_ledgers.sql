{% macro compact_ledgers(keep_days=7) -%}
    {{ return(adapter.dispatch('compact_ledgers', 'vector_runtime')(keep_days)) }}
{%- endmacro %}

{% macro default__compact_ledgers(keep_days) -%}
    {% do exceptions.raise_compiler_error(
        "compact_ledgers is for the tables of a lake, on Spark; " ~ target.type ~ " looks after its files itself.") %}
{%- endmacro %}

{#- Each MERGE leaves small files and a snapshot. Snapshots younger than so many days stay readable. -#}
{% macro spark__compact_ledgers(keep_days) -%}
    {%- if keep_days is not integer or keep_days < 1 -%}
        {% do exceptions.raise_compiler_error("keep_days is " ~ keep_days ~ "; give a whole number from 1, as {keep_days: 7}.") %}
    {%- endif -%}
    {%- set before = (run_started_at - modules.datetime.timedelta(days=keep_days)).strftime('%Y-%m-%d %H:%M:%S') -%}
    {%- set catalog = run_query('select current_catalog()').rows[0][0] -%}
    {%- for ledger in vector_runtime.ledger_graph() -%}
        {%- if adapter.get_relation(ledger.relation.database, ledger.relation.schema, ledger.relation.identifier) is not none -%}
            {%- set table = "table => '" ~ ledger.relation.schema ~ "." ~ ledger.relation.identifier ~ "'" -%}
            {%- set rewritten = run_query("call " ~ catalog ~ ".system.rewrite_data_files(" ~ table ~ ")").rows[0][0] -%}
            {% do run_query("call " ~ catalog ~ ".system.expire_snapshots(" ~ table ~ ", older_than => timestamp '" ~ before ~ "')") %}
            {% do log(ledger.name ~ ": " ~ rewritten ~ " files rewritten", info=true) %}
        {%- endif -%}
    {%- endfor -%}
{%- endmacro %}
